package wire

import "io"

// LFReader gives what a reader gives with each CRLF turned into LF, the form
// in which mail is kept in files. A CR that no LF follows stays, and so does a
// CRLF behind a CR: without its own CR, that one would pass for it. Make it with
// NewLFReader.
type LFReader struct {
	r    io.Reader
	buf  []byte // its first octet is free for a CR that was held back
	rest []byte // converted, still to be given
	last byte   // of what was converted
	cr   bool   // a CR was held back
	err  error
}

// NewLFReader makes an LFReader, which reads 32 KiB at a time.
func NewLFReader(r io.Reader) *LFReader {
	return &LFReader{r: r, buf: make([]byte, 1+32<<10)}
}

// Read implements io.Reader.
func (l *LFReader) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		l.next()
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// next reads and converts.
func (l *LFReader) next() {
	var n int
	n, l.err = l.r.Read(l.buf[1:])
	data := l.buf[1 : n+1]
	if l.cr && (n > 0 && (data[0] != '\n' || l.last == '\r') || n == 0 && l.err == io.EOF) {
		l.buf[0] = '\r'
		data = l.buf[:n+1]
	}
	l.cr = l.cr && n == 0 && l.err != io.EOF
	to := 0
	for i, c := range data {
		if c == '\r' {
			if i == len(data)-1 && n > 0 && l.err != io.EOF {
				l.cr = true
				break
			}
			if i < len(data)-1 && data[i+1] == '\n' && l.last != '\r' {
				continue
			}
		}
		l.last = c
		data[to] = c
		to++
	}
	l.rest = data[:to]
}
