package delivery

import (
	"crypto/tls"
	"io"
)

// chunks reads a message that comes by BDAT on top of go-smtp's reader, which
// takes the end of the connection within the last chunk for the end of the
// chunk: the message would be delivered, and acknowledged, cut short.
type chunks struct {
	r   io.Reader
	cut func() bool
}

// Read implements io.Reader.
func (c *chunks) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err == io.EOF && c.cut() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// cut tells whether the connection ended before the message that go-smtp says
// has come to its end. Nobody reads the connection meanwhile.
func (ses *session) cut() bool {
	if ses.below.ended.Load() {
		return true
	}
	secure, ok := ses.conn.Conn().(*tls.Conn)
	if !ok {
		return false
	}
	// The peer may have ended TLS and not yet what is below. Then every read
	// says so at once; and where it has not, this one finds nothing to read.
	ses.below.pausing.Store(true)
	defer ses.below.pausing.Store(false)
	n, err := secure.Read(make([]byte, 1))
	if n > 0 { // of a command behind the message: it cannot be given back
		ses.below.finish()
		return false
	}
	return err != errPause
}
