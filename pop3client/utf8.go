package pop3client

import "context"

// UTF8 asks the server for messages as they are, with UTF-8 in their headers
// (RFC 6856 section 2). It belongs before login; some servers take it after.
func (c *Client) UTF8(ctx context.Context) error { return c.simple(ctx, "UTF8") }
