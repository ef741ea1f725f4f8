package target

import (
	"bufio"
	"io"
	"strings"
)

// wireForm gives a message as SMTP and IMAP have it, with its id. It puts bare
// CRs in order too: SMTP forbids them (RFC 5321 section 2.3.8), and servers that
// take one for a line end could be made to see the end of the message, and
// commands behind it. With noNUL a NUL becomes 0x80, as Dovecot and UW IMAP have
// it: a literal of IMAP holds none (RFC 9051 section 4.3).
func wireForm(id string, r io.Reader, noNUL bool) io.Reader {
	return &crlfReader{r: bufio.NewReaderSize(io.MultiReader(strings.NewReader(idLine(id)), r), 64<<10), noNUL: noNUL}
}

// crlfReader ends lines in CRLF, whatever they end in: LF, or CRs before it. A
// CR that no LF follows ends one too.
type crlfReader struct {
	r     *bufio.Reader
	noNUL bool
	crs   int    // that came, and nothing behind them yet
	due   int    // line ends that are to be given before anything else
	out   []byte // to be given still
	buf   []byte
	err   error
}

// Read implements io.Reader.
func (c *crlfReader) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.next()
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// lineEnds is how many line ends are converted at once. A message of CRs alone
// is not held in memory.
const lineEnds = 8 << 10

// next converts what can be had at once.
func (c *crlfReader) next() {
	c.buf = c.buf[:0]
	defer func() { c.out = c.buf }()
	if c.due > 0 {
		c.lines(min(c.due, lineEnds))
		c.due -= len(c.buf) / 2
		return
	}
	if _, err := c.r.Peek(1); err != nil {
		if c.crs > 0 && err == io.EOF {
			c.due, c.crs = c.crs, 0
			return
		}
		c.err = err
		return
	}
	chunk, _ := c.r.Peek(c.r.Buffered())
	read := 0
	for _, b := range chunk {
		if c.crs > lineEnds && b != '\r' && b != '\n' {
			c.due, c.crs = c.crs, 0
			break
		}
		read++
		switch {
		case b == '\r':
			c.crs++
			continue
		case b == '\n':
			c.lines(1)
			c.crs = 0
			continue
		case c.crs > 0:
			c.lines(c.crs)
			c.crs = 0
		}
		if b == 0 && c.noNUL {
			b = 0x80
		}
		c.buf = append(c.buf, b)
	}
	c.r.Discard(read)
}

func (c *crlfReader) lines(n int) {
	for range n {
		c.buf = append(c.buf, "\r\n"...)
	}
}

// size counts the octets of a reader.
func size(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }
