package pop3client

import (
	"context"
	"iter"
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

// usualHeader is what a header is taken to have at most, in octets, when many
// are asked for ahead.
const usualHeader = 16 * 1024

// HeaderAll gives the headers of messages, each as Top does with no line of the
// body. In all else it is RetrieveAll: the next ones are under way while one is
// read, and what stands there holds. Size is that of the whole message, as LIST
// has it.
func (c *Client) HeaderAll(ctx context.Context, opts RetrieveOptions) iter.Seq2[*Message, error] {
	return c.retrieve(ctx, series{verb: "TOP", args: " 0", most: usualHeader}, opts)
}
