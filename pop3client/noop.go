package pop3client

import "context"

// Noop does nothing but keep the session alive (RFC 1939 section 5, NOOP).
// Servers exist that close after a minute of silence: call it in between where
// storing a message takes long.
func (c *Client) Noop(ctx context.Context) error { return c.simple(ctx, "NOOP") }
