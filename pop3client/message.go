package pop3client

import (
	"errors"
	"fmt"
	"io"

	"github.com/poplin-mail/poplin/internal/wire"
)

// drainLimit is how many octets Message.Close reads to keep the session alive.
const drainLimit = 1 << 20

// errMessageClosed is the error for reading a message that was closed.
var errMessageClosed = errors.New("pop3client: the message is closed")

// Message is a message, or the part of one that TOP gives, while it comes from
// the server. It reads as it is on the wire, with CRLF, dots unstuffed.
//
// The end is io.EOF only where the server has sent the final dot. A connection
// that ends before it gives an error that is io.ErrUnexpectedEOF for errors.Is
// (or what the system says of a connection that was reset): what was read is
// not the message then, and must not be taken for it.
type Message struct {
	Number int    // in this session
	UID    string // of UIDL; empty where it is not known
	Size   int64  // in octets, as the server announced it; -1 where it is not known. Not exact everywhere: see Octets

	c     *Client
	name  string // of the command, for errors
	dot   *wire.DotReader
	err   error  // what Read gives from now on
	ended func() // called once, at the end
}

// Read implements io.Reader.
func (m *Message) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.dot.Read(p)
	if err != nil {
		m.end(err)
	}
	return n, m.err
}

// WriteTo implements io.WriterTo, without a buffer of its own. After an error
// of w the rest can still be read, or the message be closed.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	if m.err == io.EOF {
		return 0, nil
	}
	if m.err != nil {
		return 0, m.err
	}
	t := target{w: w}
	n, err := m.dot.WriteTo(&t)
	if t.err != nil {
		return n, t.err
	}
	if err == nil {
		err = io.EOF
	}
	m.end(err)
	if m.err != io.EOF {
		return n, m.err
	}
	return n, nil
}

// target keeps an error of the writer apart from one of the connection.
type target struct {
	w   io.Writer
	err error
}

func (t *target) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	t.err = err
	return n, err
}

// Octets gives how many octets were read so far: at the end, the true size.
func (m *Message) Octets() int64 { return m.dot.Octets() }

// Close ends the reading. What the server still has to send is read and thrown
// away, up to 1 MiB; where there is more, the connection is closed without
// QUIT, which Close says with an error, and the client is broken. At the end
// of the message, and twice, it does nothing. A loop over RetrieveAll needs no
// Close.
func (m *Message) Close() error {
	if m.err == nil {
		m.drain(drainLimit)
	}
	switch m.err {
	case io.EOF, errMessageClosed:
		m.err = errMessageClosed
		return nil
	}
	return m.err
}

// drain reads to the end, and breaks the session where that is more than limit
// octets away. It gives the octets read.
func (m *Message) drain(limit int64) int64 {
	n, err := io.Copy(io.Discard, &limited{m.dot, limit})
	if err == nil {
		err = io.EOF
	}
	m.end(err)
	return n
}

// errTooMuch says that a message is longer than what is drained of it.
var errTooMuch = errors.New("the message was not wanted, and is too long to be read to its end")

// limited is the reader of a message's rest that gives errTooMuch past n octets.
type limited struct {
	r io.Reader
	n int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.n < 0 {
		return 0, errTooMuch
	}
	n, err := l.r.Read(p)
	l.n -= int64(n)
	return n, err
}

// end notes how the message ended, and breaks the session unless it did so
// with the final dot.
func (m *Message) end(err error) {
	if err == io.EOF {
		m.c.trace.octets(m.dot.Octets())
		m.err = io.EOF
	} else {
		if errors.Is(err, errTooMuch) {
			err = m.c.broken(fmt.Errorf("pop3client: %s: %w", m.name, err))
		} else {
			err = m.c.fail(m.name, err)
		}
		m.err = err
	}
	m.ended()
}
