package wire

import (
	"bytes"
	"io"
)

// lineDot is what may begin a stuffed line or the terminator.
var lineDot = []byte("\n.")

// DotReader reads one message, or any multi-line reply, up to its terminator,
// and removes the stuffed dots (RFC 1939 section 3). Only a line of one dot
// between two CRLF ends it: bare LF and bare CR are content and pass
// unchanged. It ends in io.EOF after the terminator and in
// io.ErrUnexpectedEOF where the connection ends before it.
type DotReader struct {
	r      *Reader
	chunk  []byte // content still to be given, within r.buf
	octets int64
	err    error
	bol    bool // at the start of the reply, or behind a CRLF
	cr     bool // the last octet was a CR
}

// Dot starts reading a message. It must be read to its end, or to an error,
// before anything else is read from r.
func (r *Reader) Dot() *DotReader { return &DotReader{r: r, bol: true} }

// Octets gives the number of octets of content so far, dots unstuffed,
// terminator not counted.
func (d *DotReader) Octets() int64 { return d.octets - int64(len(d.chunk)) }

// Read implements io.Reader.
func (d *DotReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(d.chunk) == 0 {
		d.next()
	}
	if len(d.chunk) == 0 {
		return 0, d.err
	}
	n := copy(p, d.chunk)
	d.chunk = d.chunk[n:]
	return n, nil
}

// WriteTo implements io.WriterTo, without a copy of its own.
func (d *DotReader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if len(d.chunk) == 0 {
			d.next()
		}
		if len(d.chunk) == 0 {
			if d.err == io.EOF {
				return written, nil
			}
			return written, d.err
		}
		n, err := w.Write(d.chunk)
		written += int64(n)
		if err == nil && n < len(d.chunk) {
			err = io.ErrShortWrite
		}
		d.chunk = d.chunk[n:]
		if err != nil {
			return written, err
		}
	}
}

// next sets chunk to the next run of content, or leaves it empty and sets err.
func (d *DotReader) next() {
	for d.err == nil {
		r := d.r
		if r.r == r.w && !d.more(1) {
			return
		}
		if d.bol && r.buf[r.r] == '.' {
			if ended, ok := d.dot(); ended || !ok {
				return
			}
			continue
		}
		d.chunk = d.run(r.buf[r.r:r.w])
		r.r += len(d.chunk)
		d.octets += int64(len(d.chunk))
		return
	}
}

// dot deals with a dot at the start of a line: it ends the message or is
// dropped. Ok is false where the connection failed first.
func (d *DotReader) dot() (ended, ok bool) {
	r := d.r
	if !d.more(2) {
		return false, false
	}
	if r.buf[r.r+1] == '\r' {
		if !d.more(3) {
			return false, false
		}
		if r.buf[r.r+2] == '\n' {
			r.r += 3
			d.err = io.EOF
			return true, true
		}
	}
	r.r++
	d.bol, d.cr = false, false
	return false, true
}

// run gives the longest start of b that is plain content: all of it, or up to
// a line that begins with a dot. It keeps bol and cr for what follows.
func (d *DotReader) run(b []byte) []byte {
	for from := 0; ; {
		i := bytes.Index(b[from:], lineDot)
		if i < 0 {
			break
		}
		i += from
		if (i > 0 && b[i-1] == '\r') || (i == 0 && d.cr) {
			d.bol, d.cr = true, false
			return b[:i+1]
		}
		from = i + 1
	}
	last := len(b) - 1
	before := d.cr
	if last > 0 {
		before = b[last-1] == '\r'
	}
	d.bol = b[last] == '\n' && before
	d.cr = b[last] == '\r'
	return b
}

// more sees to it that n octets are buffered.
func (d *DotReader) more(n int) bool {
	for d.r.Buffered() < n {
		if err := d.r.fill(0); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			d.err = err
			return false
		}
	}
	return true
}
