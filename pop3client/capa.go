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
// The client keeps the answer until the state of the session changes. The
// texts are the server's: pop3.Sanitize makes them fit for a terminal.
func (c *Client) Capa(ctx context.Context) (pop3.Capabilities, error) {
	if err := c.begin(ctx, "CAPA"); err != nil {
		return nil, err
	}
	defer c.end()
	if err := c.send(command{name: "CAPA", line: "CAPA", shown: "CAPA"}); err != nil {
		return nil, err
	}
	return c.readCapa()
}

// readCapa reads the reply to CAPA, and keeps it.
func (c *Client) readCapa() (pop3.Capabilities, error) {
	var caps pop3.Capabilities
	err := c.list("CAPA", maxCapabilities, func(line string) error {
		if capability := pop3.ParseCapability(line); capability.Name != "" {
			caps = append(caps, capability)
		}
		return nil
	})
	if err == nil || isRefusal(err) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.caps, c.capsKnown = caps, true
	}
	return caps, err
}

// Capabilities gives those of the session's state, and asks for them as Capa
// does only where they are not known. A server that has no CAPA has none.
func (c *Client) Capabilities(ctx context.Context) (pop3.Capabilities, error) {
	return c.capabilities(ctx)
}

// capabilities gives those of the session's state, and asks where they are not
// known. A refusal stands for none.
func (c *Client) capabilities(ctx context.Context) (pop3.Capabilities, error) {
	c.mu.Lock()
	caps, known := c.caps, c.capsKnown
	c.mu.Unlock()
	if known {
		return caps, nil
	}
	caps, err := c.Capa(ctx)
	if isRefusal(err) {
		return nil, nil
	}
	return caps, err
}

// forget drops the capabilities, since the state of the session has changed,
// but for one: PIPELINING holds in all states (RFC 2449 section 6.6).
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pipelines = c.caps.Has(pop3.CapPipelining)
	c.caps, c.capsKnown = nil, false
}
