package pop3client

import (
	"context"

	"github.com/poplin-mail/poplin/pop3"
)

// Stat asks how many messages there are and their octets together (RFC 1939
// section 5, STAT). Servers exist whose STAT and LIST disagree: nothing in this
// package relies on STAT, and neither should a caller who wants to know which
// messages there are.
func (c *Client) Stat(ctx context.Context) (pop3.Stat, error) {
	text, err := c.exec(ctx, command{name: "STAT", line: "STAT", shown: "STAT"})
	if err != nil {
		return pop3.Stat{}, err
	}
	stat, err := pop3.ParseStat(text)
	if err != nil {
		return pop3.Stat{}, c.broken(&ProtocolError{"STAT", err.Error()})
	}
	return stat, nil
}
