package wire

import (
	"bytes"
	"errors"
	"io"
)

// ErrSize is the error for a message that had another number of octets than
// was announced. The terminator was not written: the connection must be cut,
// so that nobody takes what was sent for the message.
var ErrSize = errors.New("message has not the size that was announced")

// DotWriter writes one stored message in the form of the wire (RFC 1939
// section 3): a bare LF becomes CRLF, a lone CR passes, a final line without
// line end gets one, and a dot at the start of a line is doubled. It accepts
// any split of the message into writes.
type DotWriter struct {
	w      *Writer
	octets int64
	bol    bool // at the start of the message, or behind a line end
	cr     bool // the last octet was a CR
}

// Dot starts writing a message; Finish ends it.
func (w *Writer) Dot() DotWriter { return DotWriter{w: w, bol: true} }

// Octets gives the number of octets so far in the form of the wire, without
// stuffed dots.
func (d *DotWriter) Octets() int64 { return d.octets }

// Write implements io.Writer.
func (d *DotWriter) Write(p []byte) (int, error) {
	total := len(p)
	d.octets += int64(total)
	for len(p) > 0 {
		if d.bol {
			if p = d.lines(p); len(p) == 0 {
				break
			}
		}
		p = d.piece(p)
	}
	if d.w.err != nil {
		return 0, d.w.err
	}
	return total, nil
}

// lines writes the whole lines at the start of p, as far as they fit into the
// Writer's buffer, and gives the rest. It is the inner loop of every RETR.
func (d *DotWriter) lines(p []byte) (rest []byte) {
	if d.w.err != nil {
		return p
	}
	d.w.borrow()
	buf, size := d.w.buf, d.w.size
	added := 0
	for {
		n := bytes.IndexByte(p, '\n')
		if n < 0 || len(buf)+n+3 > size { // a dot and CRLF
			break
		}
		if p[0] == '.' {
			buf = append(buf, '.')
		}
		if n > 0 && p[n-1] == '\r' {
			buf = append(buf, p[:n+1]...)
		} else {
			buf = append(append(buf, p[:n]...), '\r', '\n')
			added++
		}
		p = p[n+1:]
	}
	d.w.buf = buf
	d.octets += int64(added)
	return p
}

// piece writes the start of p up to the end of a line, or all of it, and gives
// the rest.
func (d *DotWriter) piece(p []byte) (rest []byte) {
	if d.bol && p[0] == '.' {
		d.w.WriteString(".") // and the dot itself with what follows
	}
	n := bytes.IndexByte(p, '\n')
	if n < 0 {
		d.w.Write(p)
		d.bol, d.cr = false, p[len(p)-1] == '\r'
		return nil
	}
	if n > 0 {
		d.cr = p[n-1] == '\r'
	}
	if d.cr {
		d.w.Write(p[:n+1])
	} else {
		d.w.Write(p[:n])
		d.w.WriteString("\r\n")
		d.octets++
	}
	d.bol, d.cr = true, false
	return p[n+1:]
}

// Finish ends the message: a last line without line end gets one, and the
// terminator follows. Where the message had another number of octets than
// want, nothing is written and the result is ErrSize; want below zero stands
// for any number.
func (d *DotWriter) Finish(want int64) error {
	tail := ".\r\n"
	if !d.bol {
		tail = "\r\n.\r\n"
		d.octets += 2
	}
	if want >= 0 && d.octets != want {
		return ErrSize
	}
	return d.w.end(tail)
}

// SizeCounter counts the octets that a stored message has in the form of the
// wire, without stuffed dots and terminator: what LIST announces for it. Its
// zero value is ready; it accepts any split of the message into writes.
type SizeCounter struct {
	octets  int64
	partial bool // the last line has no line end yet
	cr      bool // the last octet was a CR
}

// Write implements io.Writer and never fails.
func (c *SizeCounter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.octets += int64(len(p) + c.bare(p))
	last := p[len(p)-1]
	c.partial = last != '\n'
	c.cr = last == '\r'
	return len(p), nil
}

// bare counts the LF in p that no CR precedes.
func (c *SizeCounter) bare(p []byte) int {
	if !c.cr && bytes.IndexByte(p, '\r') < 0 {
		return bytes.Count(p, []byte{'\n'})
	}
	bare, cr := 0, c.cr
	for {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			return bare
		}
		if n > 0 {
			cr = p[n-1] == '\r'
		}
		if !cr {
			bare++
		}
		p, cr = p[n+1:], false
	}
}

// Octets gives the size of the message if what was written is all of it.
func (c *SizeCounter) Octets() int64 {
	if c.partial {
		return c.octets + 2
	}
	return c.octets
}

// Size reads a stored message to its end and gives its size in the form of
// the wire.
func Size(r io.Reader) (int64, error) {
	var c SizeCounter
	_, err := io.Copy(&c, r)
	return c.Octets(), err
}
