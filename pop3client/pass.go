package pop3client

import "context"

// Pass sends the password (RFC 1939 section 7, PASS) and so ends the login
// that User began. On a connection in clear text it gives ErrInsecure and
// sends nothing, unless Options.InsecureAuth or DialInsecure allow it.
func (c *Client) Pass(ctx context.Context, password string) error {
	if !c.mayExpose() {
		return ErrInsecure
	}
	cmd, err := newCommand("PASS", password)
	if err != nil {
		return err
	}
	cmd.shown = "PASS " + redacted
	cmd.secrets = []string{password}
	if _, err = c.exec(ctx, cmd); err != nil {
		return err
	}
	c.forget()
	return nil
}
