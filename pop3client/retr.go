package pop3client

import (
	"context"
	"strconv"
	"strings"
)

// Retr gives one message (RFC 1939 section 5, RETR). The Message must be read
// to its end, or closed, before the next call: until then calls give ErrBusy.
// The context stays in force until then.
func (c *Client) Retr(ctx context.Context, n int) (*Message, error) {
	cmd, err := numbered("RETR", n)
	if err != nil {
		return nil, err
	}
	return c.message(ctx, cmd, n)
}

// message sends a command whose reply is a message.
func (c *Client) message(ctx context.Context, cmd command, n int) (*Message, error) {
	if err := c.begin(ctx, cmd.name); err != nil {
		return nil, err
	}
	err := c.send(cmd)
	text := ""
	if err == nil {
		text, err = c.status(cmd.name)
	}
	if err != nil {
		c.end()
		return nil, err
	}
	m := &Message{Number: n, Size: -1, c: c, name: cmd.name, dot: c.r.Dot(), ended: c.end}
	if strings.HasPrefix(cmd.name, "RETR") {
		m.Size = announced(text)
	}
	return m, nil
}

// announced reads the size out of a reply such as "120 octets", which is what
// RFC 1939 shows but does not ask for: -1 where there is none.
func announced(text string) int64 {
	number, rest, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || !strings.HasPrefix(rest, "octets") {
		return -1
	}
	return n
}
