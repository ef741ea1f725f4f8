package pop3client

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/poplin-mail/poplin/pop3"
)

// STLS goes over to TLS on a connection in clear text (RFC 2595 section 4).
// Config is as Options.TLSConfig, which nil stands for. The time-out is for
// the handshake as a whole.
//
// Whoever asks for TLS wants no session without it: every failure breaks the
// client, a negative reply too, and nothing more is sent. Octets behind the
// positive reply are ErrInjection. Capabilities from before are forgotten; the
// greeting's timestamp is kept, since servers take it for APOP inside TLS and
// the digest is of no use to anybody else.
func (c *Client) STLS(ctx context.Context, config *tls.Config) error {
	if c.isEncrypted() {
		return argumentError("STLS", "the connection has TLS already")
	}
	if config == nil {
		config = c.options.TLSConfig
	}
	config = tlsConfig(config, c.host)
	if config.ServerName == "" && !config.InsecureSkipVerify {
		return argumentError("STLS", "no server name to verify: set ServerName in the TLS configuration")
	}
	if err := c.begin(ctx, pop3.CapSTLS); err != nil {
		return err
	}
	defer c.end()
	if err := c.send(command{name: "STLS", line: "STLS", shown: "STLS"}); err != nil {
		return err
	}
	if _, err := c.status("STLS"); err != nil {
		return c.broken(err)
	}
	if c.r.Buffered() > 0 {
		return c.fail("STLS", ErrInjection)
	}
	secured, err := handshake(ctx, c.base, config, c.options.Timeout)
	if err != nil {
		return c.broken(fmt.Errorf("pop3client: STLS: %w", err))
	}
	c.conn = secured
	c.r.Reset(secured)
	c.w.Reset(secured)
	c.mu.Lock()
	c.encrypted = true
	c.mu.Unlock()
	c.forget()
	return nil
}
