package pop3client

import (
	"context"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// Apop logs in with a digest of the greeting's timestamp and the shared secret
// (RFC 1939 section 7, APOP). ErrNoAPOP says that there is no timestamp.
//
// The secret itself does not pass, so Apop works in clear text; but MD5
// protects it badly against somebody who listens or who plays the server.
// Prefer TLS and Login, which chooses APOP only where Options.Mechanisms names it.
func (c *Client) Apop(ctx context.Context, user, secret string) error {
	if c.timestamp == "" {
		return ErrNoAPOP
	}
	if user == "" || strings.ContainsAny(user, " \t") {
		return argumentError("APOP", "the user name is empty or holds blanks")
	}
	cmd, err := newCommand("APOP", user, pop3.APOPDigest(c.timestamp, secret))
	if err != nil {
		return err
	}
	cmd.shown = "APOP " + user + " " + redacted
	cmd.secrets = []string{secret, cmd.line[len("APOP ")+len(user)+1:]}
	if _, err = c.exec(ctx, cmd); err != nil {
		return err
	}
	c.forget()
	return nil
}
