package wire

import (
	"bytes"
	"errors"
	"io"
)

// ErrLineTooLong is the error for a line of more octets than the caller
// allows. The connection is of no use after it: the rest of the line has not
// been read.
var ErrLineTooLong = errors.New("line too long")

// minBuffer is the least size of a Reader's buffer: it must hold a dot and a
// line end, with room to spare.
const minBuffer = 16

// smallBuffer is what a Reader waits with that has lent its buffer back: a
// whole command line (RFC 2449 section 4), so that a client that sends one at
// a time needs no other.
const smallBuffer = 256

// Reader reads lines and messages from a connection, with one buffer for both.
type Reader struct {
	src  io.Reader
	buf  []byte
	r, w int // buf[r:w] was received and not taken yet
	err  error

	received int64

	lender *Buffers // nil: buf is the Reader's own
	lent   *[]byte  // by lender; nil: buf is small
	small  [smallBuffer]byte
}

// NewReader makes a Reader with a buffer of size octets. The buffer grows
// where ReadLine allows longer lines, up to what it allows.
func NewReader(src io.Reader, size int) *Reader {
	return &Reader{src: src, buf: make([]byte, max(size, minBuffer))}
}

// Reset makes the Reader read from src, and forgets what was buffered.
func (r *Reader) Reset(src io.Reader) {
	r.src, r.r, r.w, r.err = src, 0, 0, nil
}

// Release gives a borrowed buffer back where nothing is in it. Call it before
// waiting for input that may not come for long.
func (r *Reader) Release() {
	if r.lender == nil || r.r < r.w {
		return
	}
	if r.lent != nil {
		r.lender.give(r.lent)
	}
	r.buf, r.lent, r.r, r.w = r.small[:], nil, 0, 0
}

// Buffered gives the number of octets that were received and not taken yet.
func (r *Reader) Buffered() int { return r.w - r.r }

// Peek gives what was received and not taken yet, at most n octets of it. The
// result is good until the next call of any method.
func (r *Reader) Peek(n int) []byte { return r.buf[r.r:min(r.r+n, r.w)] }

// Received gives the number of octets received since the Reader was made.
func (r *Reader) Received() int64 { return r.received }

// HasLine reports whether ReadLine has a whole line without waiting.
func (r *Reader) HasLine() bool {
	return bytes.IndexByte(r.buf[r.r:r.w], '\n') >= 0
}

// ReadLine takes a line of at most limit octets, line end included, and gives
// it without its line end. The line end is CRLF; a bare LF is taken too. The
// result is good until the next call of any method.
//
// A connection that ends between lines gives io.EOF, one that ends inside a
// line io.ErrUnexpectedEOF, and a line over the limit ErrLineTooLong.
func (r *Reader) ReadLine(limit int) ([]byte, error) {
	scanned := 0
	for {
		if i := bytes.IndexByte(r.buf[r.r+scanned:r.w], '\n'); i >= 0 {
			end := r.r + scanned + i + 1
			if end-r.r > limit {
				return nil, ErrLineTooLong
			}
			line := r.buf[r.r : end-1]
			r.r = end
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			return line, nil
		}
		scanned = r.w - r.r
		if scanned >= limit {
			return nil, ErrLineTooLong
		}
		if err := r.fill(limit); err != nil {
			if err == io.EOF && r.w > r.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// ReadListLine takes a line of a multi-line reply, as ReadLine does, and
// removes the stuffed dot. Done is true for the line that ends the reply. A
// connection that ends before it gives io.ErrUnexpectedEOF.
func (r *Reader) ReadListLine(limit int) (line []byte, done bool, err error) {
	line, err = r.ReadLine(limit)
	switch {
	case err == io.EOF:
		return nil, false, io.ErrUnexpectedEOF
	case err != nil:
		return nil, false, err
	case len(line) == 1 && line[0] == '.':
		return nil, true, nil
	case len(line) > 0 && line[0] == '.':
		line = line[1:]
	}
	return line, false, nil
}

// fill receives at least one octet more. Where the buffer is full it makes
// room, by moving what is in it or by growing it up to limit octets.
func (r *Reader) fill(limit int) error {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w == len(r.buf) {
		if r.lender != nil && r.lent == nil {
			r.borrow()
		} else if r.r > 0 {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
		} else if len(r.buf) < limit {
			r.buf = append(r.buf, make([]byte, min(len(r.buf), limit-len(r.buf)))...)
		} else {
			return ErrLineTooLong
		}
	}
	if r.err != nil {
		return r.err
	}
	for range 100 { // a source that gives nothing and no error is broken
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.received += int64(n)
		r.err = keep(err)
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// borrow takes what is in the small buffer over into a borrowed one.
func (r *Reader) borrow() {
	r.lent = r.lender.take()
	buf := (*r.lent)[:r.lender.size]
	r.w = copy(buf, r.buf[r.r:r.w])
	r.buf, r.r = buf, 0
}

// keep says which errors of a connection last. A deadline that has passed does not:
// it can be set anew, and the connection read on.
func keep(err error) error {
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return nil
	}
	return err
}
