package wire

import (
	"bytes"
	"io"
)

// CRLFWriter writes what is written to it in the form of the wire: a bare LF
// becomes CRLF, a lone CR passes, and a last line without line end gets one.
// Dots are not stuffed. It accepts any split of the message into writes.
type CRLFWriter struct {
	w       io.Writer
	octets  int64
	partial bool // the last line has no line end yet
	cr      bool // the last octet was a CR
}

// NewCRLFWriter makes a CRLFWriter on w; Finish ends the message.
func NewCRLFWriter(w io.Writer) *CRLFWriter { return &CRLFWriter{w: w} }

// Octets gives the number of octets written to the underlying writer.
func (c *CRLFWriter) Octets() int64 { return c.octets }

// Write implements io.Writer. The error is that of the underlying writer.
func (c *CRLFWriter) Write(p []byte) (int, error) {
	start := 0 // p[start:] is still to be written
	for i := 0; i < len(p); i++ {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			break
		}
		cr := c.cr && i == 0
		if n > 0 {
			cr = p[i+n-1] == '\r'
		}
		i += n
		if !cr {
			if err := c.put(p[start:i]); err != nil {
				return 0, err
			}
			if err := c.put(crlf); err != nil {
				return 0, err
			}
			start = i + 1
		}
	}
	if len(p) > 0 {
		last := p[len(p)-1]
		c.partial, c.cr = last != '\n', last == '\r'
	}
	if err := c.put(p[start:]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Finish ends the message: a last line without line end gets one.
func (c *CRLFWriter) Finish() error {
	if !c.partial {
		return nil
	}
	c.partial = false
	return c.put(crlf)
}

var crlf = []byte("\r\n")

func (c *CRLFWriter) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := c.w.Write(p)
	c.octets += int64(n)
	return err
}
