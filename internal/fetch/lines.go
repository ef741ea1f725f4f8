package fetch

import (
	"bytes"
	"io"
)

// lines turns CRLF, as it is on the wire, into LF, as mail is kept. A CR that
// no LF follows stays. What it writes to never fails.
type lines struct {
	to  io.Writer
	buf []byte
	cr  bool // one was held back
}

// begin begins a message.
func (l *lines) begin(to io.Writer) { l.to, l.cr = to, false }

// end ends a message.
func (l *lines) end() {
	if l.cr {
		l.to.Write([]byte{'\r'})
	}
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	if n == 0 {
		return 0, nil
	}
	l.buf = l.buf[:0]
	if l.cr && p[0] != '\n' {
		l.buf = append(l.buf, '\r')
	}
	if l.cr = p[n-1] == '\r'; l.cr {
		p = p[:n-1]
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\r')
		if i < 0 {
			l.buf = append(l.buf, p...)
			break
		}
		l.buf = append(l.buf, p[:i]...)
		if i+1 == len(p) || p[i+1] != '\n' {
			l.buf = append(l.buf, '\r')
		}
		p = p[i+1:]
	}
	l.to.Write(l.buf)
	return n, nil
}
