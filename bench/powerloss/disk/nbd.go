package disk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// What of the NBD protocol (doc/proto.md of the project "nbd") a server needs
// that has one device, one client at a time, and no extensions.
const (
	nbdMagic     = 0x4e42444d41474943 // "NBDMAGIC"
	optionMagic  = 0x49484156454f5054 // "IHAVEOPT"
	answerMagic  = 0x3e889045565a9
	requestMagic = 0x25609513
	replyMagic   = 0x67446698

	fixedNewstyle, noZeroes = 1, 2 // handshake flags

	optAbort, optInfo, optGo        = 2, 6, 7
	repAck, repInfo, repUnsupported = 1, 3, 1<<31 + 1
	infoExport                      = 0

	hasFlags, sendFlush = 1, 4 // transmission flags: no FUA, so that the kernel flushes instead

	cmdRead, cmdWrite, cmdDisconnect, cmdFlush = 0, 1, 2, 3

	invalid = 22 // EINVAL
)

// maxRequest bounds the octets of one request.
const maxRequest = 32 << 20

// serve answers one client until it is gone. Requests are done one after the
// other, so that a flush covers exactly the writes that are before it in the
// log.
func (l *Log) serve(conn net.Conn) error {
	defer conn.Close()
	c := &nbdConn{bufio.NewReader(conn), bufio.NewWriter(conn), l}
	err := c.negotiate()
	for err == nil {
		err = c.request()
	}
	if errors.Is(err, errDisconnected) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("NBD: %w", err)
}

// errDisconnected is the end that a client asks for.
var errDisconnected = errors.New("the client has done")

type nbdConn struct {
	r *bufio.Reader
	w *bufio.Writer
	*Log
}

// send writes numbers of fixed size, and octets.
func (c *nbdConn) send(values ...any) {
	for _, v := range values {
		binary.Write(c.w, binary.BigEndian, v) // the Writer keeps the error for Flush
	}
}

func (c *nbdConn) receive(v any) error { return binary.Read(c.r, binary.BigEndian, v) }

// negotiate leads the handshake up to the transmission phase.
func (c *nbdConn) negotiate() error {
	c.send(uint64(nbdMagic), uint64(optionMagic), uint16(fixedNewstyle|noZeroes))
	if err := c.w.Flush(); err != nil {
		return err
	}
	var flags uint32
	if err := c.receive(&flags); err != nil {
		return err
	}
	for {
		var option struct {
			Magic        uint64
			Number, Size uint32
		}
		if err := c.receive(&option); err != nil {
			return err
		}
		if option.Magic != optionMagic {
			return fmt.Errorf("an option begins with %#x", option.Magic)
		}
		if _, err := io.CopyN(io.Discard, c.r, int64(option.Size)); err != nil {
			return err
		}
		answer := func(kind uint32, data ...any) {
			size := 0
			for _, d := range data {
				size += binary.Size(d)
			}
			c.send(uint64(answerMagic), option.Number, kind, uint32(size))
			c.send(data...)
		}
		switch option.Number {
		case optInfo, optGo:
			answer(repInfo, uint16(infoExport), uint64(len(c.image)), uint16(hasFlags|sendFlush))
			answer(repAck)
		case optAbort:
			answer(repAck)
		default:
			answer(repUnsupported)
		}
		if err := c.w.Flush(); err != nil {
			return err
		}
		switch option.Number {
		case optGo:
			return nil
		case optAbort:
			return errDisconnected
		}
	}
}

// request does one request and answers it.
func (c *nbdConn) request() error {
	var q struct {
		Magic          uint32
		Flags, Command uint16
		Cookie, Offset uint64
		Size           uint32
	}
	if err := c.receive(&q); err != nil {
		return err
	}
	if q.Magic != requestMagic {
		return fmt.Errorf("a request begins with %#x", q.Magic)
	}
	if q.Size > maxRequest {
		return fmt.Errorf("a request is for %d octets", q.Size)
	}
	fault := uint32(0)
	var data []byte
	known := c.inside(int64(q.Offset), int(q.Size))
	switch q.Command {
	case cmdRead:
		if known {
			data = make([]byte, q.Size)
			c.read(data, int64(q.Offset))
		}
	case cmdWrite:
		written := make([]byte, q.Size)
		if _, err := io.ReadFull(c.r, written); err != nil {
			return err
		}
		if known {
			c.write(written, int64(q.Offset))
		}
	case cmdFlush:
		c.flush()
		known = true
	case cmdDisconnect:
		return errDisconnected
	default:
		known = false
	}
	if !known {
		fault = invalid
	}
	c.send(uint32(replyMagic), fault, q.Cookie, data)
	return c.w.Flush()
}
