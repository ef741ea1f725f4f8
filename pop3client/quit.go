package pop3client

import (
	"context"
	"errors"
	"time"
)

// Quit ends the session and has the server delete the messages that Dele
// marked (RFC 1939 sections 5 and 6, QUIT). Nil means that the server confirmed
// it. Any other result is ErrBusy, after which nothing has changed, or a
// *QuitError, which says what is known about the messages; the connection is
// closed then. QUIT is never sent in a session that is broken, nor, where
// messages are marked, if the server is found to have sent something that
// nobody asked for. A second call gives the result of the first.
func (c *Client) Quit(ctx context.Context) error {
	c.mu.Lock()
	before := c.quit
	c.mu.Unlock()
	if before != nil {
		return *before
	}
	err := c.finish(ctx)
	if errors.Is(err, ErrBusy) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quit = &err
	return err
}

// hush is how long Quit listens for replies too many before it has anything
// deleted. One that comes later cannot be told from the reply to QUIT. Where
// nothing is marked there is nothing to be wrong about, and no wait.
const hush = 2 * time.Millisecond

// finish is Quit for the first time.
func (c *Client) finish(ctx context.Context) error {
	err := c.begin(ctx, "QUIT")
	switch {
	case errors.Is(err, ErrBusy):
		return err
	case err != nil:
		c.Abort()
		return &QuitError{NothingDeleted, err}
	}
	defer c.end()
	if c.marked && !c.base.silent(c.conn, hush) && ctx.Err() == nil {
		err := c.fail("QUIT", &ProtocolError{"QUIT", "the server sent octets that nobody asked for, or closed the connection"})
		return &QuitError{NothingDeleted, err}
	}
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
