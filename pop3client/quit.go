package pop3client

import (
	"context"
	"errors"
)

// Quit ends the session and has the server delete the messages that Dele
// marked (RFC 1939 sections 5 and 6, QUIT). Nil means that the server confirmed
// it. Any other result is ErrBusy, after which nothing has changed, or a
// *QuitError, which says what is known about the messages; the connection is
// closed then. QUIT is never sent in a session that is broken.
func (c *Client) Quit(ctx context.Context) error {
	err := c.begin(ctx, "QUIT")
	switch {
	case errors.Is(err, ErrBusy):
		return err
	case err != nil:
		c.Abort()
		return &QuitError{NothingDeleted, err}
	}
	defer c.end()
	if err := c.send(command{name: "QUIT", line: "QUIT", shown: "QUIT"}); err != nil {
		return &QuitError{DeletionUnknown, err}
	}
	_, err = c.status("QUIT")
	if err != nil && !isRefusal(err) {
		return &QuitError{DeletionUnknown, err}
	}
	c.leave()
	if err != nil {
		return &QuitError{NotAllDeleted, err}
	}
	return nil
}

// leave closes the connection with the farewell of TLS, so that the server's
// log has nothing to complain about. How that goes changes nothing: the server
// has answered.
func (c *Client) leave() {
	c.mu.Lock()
	if c.err == nil {
		c.err = ErrClosed
	}
	c.mu.Unlock()
	c.base.patience() // crypto/tls sets a deadline of its own for its farewell
	c.conn.Close()
}
