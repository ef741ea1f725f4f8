package pop3client

import (
	"context"
	"strconv"
)

// Top gives the header of a message, the blank line and the first lines of its
// body (RFC 1939 section 7, TOP). Of the Message what Retr says holds.
func (c *Client) Top(ctx context.Context, n, lines int) (*Message, error) {
	if lines < 0 {
		return nil, argumentError("TOP", "the number of lines is negative")
	}
	cmd, err := numbered("TOP", n, strconv.Itoa(lines))
	if err != nil {
		return nil, err
	}
	return c.message(ctx, cmd, n)
}
