package wire

import (
	"bytes"
	"io"
)

// Top gives the start of the stored message r: its header, the blank line,
// and the first lines of the body (RFC 1939 section 7, TOP). A message with
// fewer lines, or without a blank line, comes whole.
func Top(r io.Reader, lines int) io.Reader {
	return &topReader{r: r, lines: lines, bol: true}
}

type topReader struct {
	r     io.Reader
	lines int  // of the body, still to come
	body  bool // the blank line has passed
	bol   bool // at the start of a line
	blank bool // the line so far is a CR, from an earlier read
	done  bool
}

func (t *topReader) Read(p []byte) (int, error) {
	if t.done {
		return 0, io.EOF
	}
	n, err := t.r.Read(p)
	if end := t.scan(p[:n]); t.done {
		return end, nil
	}
	return n, err
}

// scan goes through the lines of b. Where the last line wanted ends in b it
// sets done and gives the place behind it.
func (t *topReader) scan(b []byte) int {
	for i := 0; i < len(b); {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			t.blank = t.bol && len(b)-i == 1 && b[i] == '\r'
			t.bol = false
			return len(b)
		}
		line := b[i : i+n]
		empty := len(line) == 0 && (t.bol || t.blank) || t.bol && string(line) == "\r"
		switch {
		case t.body:
			t.lines--
		case empty:
			t.body = true
		}
		t.bol, t.blank = true, false
		i += n + 1
		if t.body && t.lines <= 0 {
			t.done = true
			return i
		}
	}
	return len(b)
}
