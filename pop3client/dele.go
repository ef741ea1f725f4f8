package pop3client

import (
	"context"
	"errors"
	"strconv"

	"github.com/poplin-mail/poplin/pop3"
)

// deleWindow is how many DELE are sent ahead of their replies. These are short,
// so that it takes many to fill a way, and each window costs a round trip.
const deleWindow = 4096

// Dele marks messages as deleted (RFC 1939 section 5, DELE); Quit deletes
// them. The commands are sent ahead of the replies where the server announces
// PIPELINING. A negative reply leaves that message unmarked, and the others
// are still marked: the error then holds a *MessageError for each such message
// (joined by errors.Join where there are several). After any other error the
// session is broken and nothing will be deleted.
func (c *Client) Dele(ctx context.Context, numbers ...int) error {
	items := make([]item, len(numbers))
	for i, n := range numbers {
		if n < 1 || n > pop3.MaxMessages {
			return argumentError("DELE", "message number "+strconv.Itoa(n)+" is out of range")
		}
		items[i] = item{number: n}
	}
	window := 1
	if len(items) > 1 {
		caps, err := c.capabilities(ctx)
		if err != nil {
			return err
		}
		window = pipelined(caps, deleWindow)
	}
	if err := c.begin(ctx, "DELE"); err != nil {
		return err
	}
	defer c.end()
	c.marked = c.marked || len(items) > 0
	p := c.newPipeline(series{verb: "DELE"}, items, window, DefaultWindowOctets)
	defer p.stop()
	var refusals []error
	for {
		it, ok := p.next()
		if !ok {
			break
		}
		_, err := c.status(p.name(it))
		if err != nil && !isRefusal(err) {
			return err
		}
		if err != nil {
			refusals = append(refusals, &MessageError{Number: it.number, Err: err})
		}
		p.answered()
	}
	if len(refusals) == 1 {
		return refusals[0]
	}
	return errors.Join(refusals...)
}
