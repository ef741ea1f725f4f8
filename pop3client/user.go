package pop3client

import "context"

// User sends the user name (RFC 1939 section 7, USER); Pass must follow. It is
// refused with ErrInsecure where Pass would be.
func (c *Client) User(ctx context.Context, name string) error {
	if !c.mayExpose() {
		return ErrInsecure
	}
	if name == "" {
		return argumentError("USER", "the user name is empty")
	}
	cmd, err := newCommand("USER", name)
	if err != nil {
		return err
	}
	_, err = c.exec(ctx, cmd)
	return err
}

// mayExpose reports whether a password may be sent as it is.
func (c *Client) mayExpose() bool { return c.isEncrypted() || c.clear }

func (c *Client) isEncrypted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.encrypted
}
