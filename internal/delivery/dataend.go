package delivery

import "io"

// dataEnd reads DATA on top of go-smtp's reader, which takes the line end of
// CR CR LF for none: a dot behind it stays stuffed, and the end of the data is
// missed where it follows. Whoever sends that would wait for a reply for ever,
// and what is sent next would become part of the message. So dataEnd follows
// that reader's view of lines, and does what it left out. Where it finds the
// end, missed is called: what go-smtp reads from then on is no message.
//
// Go-smtp's reader waits until it has filled what it is given, and so for what
// comes behind an end that it does not know. So the connection gives it
// errPause before each read, until goOn is called: by then what came before
// has been looked at.
type dataEnd struct {
	r            io.Reader
	missed, goOn func()

	state   dataState
	out     []byte // content, of which pending is still to be given
	pending []byte
	err     error
}

// dataState is where the content stands, as go-smtp sees it and as it is.
type dataState uint8

const (
	atLine     dataState = iota // go-smtp is at the beginning of a line
	inLine                      // within a line
	afterCR                     // a CR that go-smtp holds for the first half of a line end
	afterCRCR                   // a CR behind it: go-smtp takes an LF now for content
	atLostLine                  // at the beginning of a line that go-smtp does not know of
	lostDot                     // a dot there
	lostDotCR                   // and a CR behind it
)

// Read implements io.Reader.
func (d *dataEnd) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(d.pending) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		n, err := d.r.Read(p)
		d.out = d.follow(d.out[:0], p[:n])
		d.pending = d.out
		switch {
		case d.err != nil: // the end that was missed
		case err == errPause:
			d.goOn()
		default:
			d.err = err
		}
	}
	n := copy(p, d.pending)
	d.pending = d.pending[n:]
	return n, nil
}

// follow appends to out the content that in makes.
func (d *dataEnd) follow(out, in []byte) []byte {
	for _, c := range in {
		switch d.state {
		case lostDot:
			switch c {
			case '\r':
				d.state = lostDotCR
				continue
			default:
				d.state = inLine // the dot was stuffing
			}
		case lostDotCR:
			if c == '\n' {
				d.err = io.EOF
				d.missed()
				return out
			}
			out = append(out, '\r') // the dot was stuffing
			d.state = afterCR
		case atLostLine:
			if c == '.' {
				d.state = lostDot
				continue
			}
			d.state = inLine
		}
		switch {
		case c == '\r' && d.state == afterCR:
			d.state = afterCRCR
		case c == '\r':
			d.state = afterCR
		case c == '\n' && d.state == afterCR:
			d.state = atLine
		case c == '\n' && d.state == afterCRCR:
			d.state = atLostLine
		default:
			d.state = inLine
		}
		out = append(out, c)
	}
	return out
}
