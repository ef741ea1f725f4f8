package takeover

import (
	"bufio"
	"bytes"
	"io"
)

// slack is how many octets lengths may differ by: a server may count a line end
// that the message lacks at its end, and an mbox adds one.
const slack = 2

// local is a message in a Maildir or mbox.
type local struct {
	fingerprint
	body  length
	taken bool // a message on the server was found to be this one
}

// length is how long a header or a body is, in octets.
type length struct {
	crlf, lf int64 // with line ends of two octets, and of one
	quoted   int64 // lines that begin with >From, where an mbox may have put the >
}

// add counts a line or a part of one.
func (l *length) add(b []byte) {
	text, ended := bytes.CutSuffix(b, []byte("\n"))
	if ended {
		text = bytes.TrimSuffix(text, []byte("\r"))
		l.crlf += 2
		l.lf++
	}
	l.crlf += int64(len(text))
	l.lf += int64(len(text))
}

// fits reports whether a message can have that body which a server says is of
// n octets, with that header. Servers that count line ends as one octet exist.
// A body that was cut while it was written fits neither way, unless by chance.
func (l length) fits(n int64, header length) bool {
	about := func(size int64) bool { return n >= size-l.quoted-slack && n <= size+slack }
	return about(header.crlf+l.crlf) || about(header.lf+l.lf)
}

// measurer takes a message line by line.
type measurer struct {
	header     []byte
	head, body length // the blank line belongs to the header
	inBody     bool
}

// line takes a piece of a message: a line with its end, or a part of a long
// one. Start says that a line begins here.
func (m *measurer) line(b []byte, start bool) {
	if !m.inBody {
		m.head.add(b)
		if len(m.header) <= maxHeader {
			m.header = append(m.header, b...)
		}
		m.inBody = start && isBlank(b)
		return
	}
	m.body.add(b)
	if start && b[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(b, ">"), []byte("From ")) {
		m.body.quoted++
	}
}

func isBlank(line []byte) bool { return string(line) == "\n" || string(line) == "\r\n" }

// local gives the message. Ok is false where nothing can be known by its header.
func (m *measurer) local() (l local, ok bool) {
	l = local{fingerprint: newFingerprint(m.header), body: m.body}
	return l, len(m.header) <= maxHeader && l.telling
}

// eachLine reads r line by line; long lines come in pieces.
func eachLine(r io.Reader, f func(b []byte, start bool)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	start := true
	for {
		b, err := in.ReadSlice('\n')
		if len(b) > 0 {
			f(b, start)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && err != bufio.ErrBufferFull:
			return err
		}
		start = err == nil
	}
}
