package target

import (
	"context"
	"strings"
)

// Connecter is a Target behind a connection. One that ends while a message
// passes may do so because of the message, and will then each time.
type Connecter interface {
	Target

	// Connect sees to it that there is a connection on which messages can be
	// delivered.
	Connect(ctx context.Context) error
}

var (
	_ Connecter = (*SMTP)(nil)
	_ Connecter = (*IMAP)(nil)
)

// Connect implements Connecter.
func (s *SMTP) Connect(ctx context.Context) error {
	s.take()
	defer s.give(s.quit)
	return s.connect(ctx)
}

// Connect implements Connecter.
func (t *IMAP) Connect(ctx context.Context) error {
	t.take()
	defer t.give(t.logout)
	return t.connect(ctx)
}

// Replied tells whether an error is what the server said, and not that the
// connection ended.
func Replied(err error) bool { return strings.Contains(err.Error(), "the server says: ") }
