package pop3client

import (
	"context"

	"github.com/poplin-mail/poplin/pop3"
)

// maxCapabilities bounds the reply to CAPA, in lines.
const maxCapabilities = 256

// Capa asks for the server's capabilities (RFC 2449 section 5). They differ
// before and after TLS and login. A server that has no CAPA answers with a
// *pop3.Error, which other methods of the client take for no capabilities.
// The client keeps the answer until the state of the session changes.
func (c *Client) Capa(ctx context.Context) (pop3.Capabilities, error) {
	var caps pop3.Capabilities
	cmd := command{name: "CAPA", line: "CAPA", shown: "CAPA"}
	err := c.execList(ctx, cmd, maxCapabilities, func(line string) error {
		if capability := pop3.ParseCapability(line); capability.Name != "" {
			caps = append(caps, capability)
		}
		return nil
	})
	switch {
	case err == nil:
		c.caps, c.capsKnown = caps, true
	case isRefusal(err):
		c.caps, c.capsKnown = nil, true
	}
	return caps, err
}

// capabilities gives those of the session's state, and asks where they are not
// known. A refusal stands for none.
func (c *Client) capabilities(ctx context.Context) (pop3.Capabilities, error) {
	if c.capsKnown {
		return c.caps, nil
	}
	caps, err := c.Capa(ctx)
	if isRefusal(err) {
		return nil, nil
	}
	return caps, err
}

// forget drops the capabilities, since the state of the session has changed.
func (c *Client) forget() { c.caps, c.capsKnown = nil, false }
