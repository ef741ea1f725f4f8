package pop3client

import "context"

// Rset unmarks every message that Dele marked (RFC 1939 section 5, RSET).
func (c *Client) Rset(ctx context.Context) error { return c.simple(ctx, "RSET") }
