package fetch

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/poplin-mail/poplin/pop3client"
)

// oversize is what a message fails at, in the journal, that turned out larger
// than it may be. It is not asked for again unless somebody wants it tried.
const oversize = "size"

// errOversize breaks a session off: what comes is larger than the server said
// by more than an error, and would fill the disk.
var errOversize = errors.New("it is much larger than the server announced: the session was broken off")

const (
	// slack is by how much sizes err, with an eighth of them: servers count
	// line ends of one octet, or leave out what they add.
	slack = 64 << 10

	// mostHeader is what a header may have that comes for a large message.
	mostHeader = 16 << 20

	// surplus is what a message may have beside four times its announced size
	// where no limit is set: it guards the disk, and nothing else.
	surplus = 1 << 30
)

// most gives how many octets are taken of a message, by what was announced and
// by what is wanted.
func (r *run) most(o order, part bool) int64 {
	switch {
	case part:
		return mostHeader
	case r.MaxMessage > 0:
		return min(r.MaxMessage, math.MaxInt64/2)/8*9 + slack
	case o.size >= 0:
		return min(o.size, math.MaxInt64/8)*4 + surplus
	}
	return math.MaxInt64
}

// capped writes so many octets and no more.
type capped struct {
	to   io.Writer
	left int64
}

// Write implements io.Writer. Its own error is errOversize.
func (c *capped) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		return 0, errOversize
	}
	return c.to.Write(p)
}

// sized tells of a message whose size is far from what was announced.
func (r *run) sized(o order, m *pop3client.Message) {
	if o.size >= 0 && m.Octets() > o.size/8*9+slack {
		r.warn(fmt.Sprintf("message %s has %d octets, and the server announced %d", o.UID, m.Octets(), o.size))
	}
}

// warn tells of what is odd and harms nothing.
func (r *run) warn(text string) {
	r.telling.Lock()
	if len(r.report.Warnings) < mostNamed {
		r.report.Warnings = append(r.report.Warnings, text)
	}
	r.telling.Unlock()
	r.tell(Event{Kind: Warning, Text: text})
}
