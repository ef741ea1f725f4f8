package target

import (
	"context"
	"fmt"
	"slices"
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

// Lasts tells whether somebody must mend what an error says of a target as a
// whole: a login that is refused, a recipient or folder that is not there, a
// command that cannot be run, TLS that cannot be had. Of what it does not know
// it says that it may pass. It goes by the text, since errors of logins are made
// anew without the secret, and hold no other error.
func Lasts(err error) bool {
	text := err.Error()
	for _, mark := range []string{
		"the server does not offer STARTTLS", "STARTTLS, which the configuration asks for",
		"the server offers no way to log in", "the server takes no token",
		inItsWords, errExposed.Error(), errInjected.Error(),
		fmt.Sprintf("the command ended with exit code %d", shCannotRun), fmt.Sprintf("the command ended with exit code %d", shNotFound),
	} {
		if strings.Contains(text, mark) {
			return true
		}
	}
	before, said, replied := strings.Cut(text, "the server says: ")
	if !replied {
		return false
	}
	said, passing := strings.CutPrefix(said, "NO [")
	if passing {
		code, _, _ := strings.Cut(said, "]")
		passing = slices.Contains([]string{"UNAVAILABLE", "INUSE", "SERVERBUG", "LIMIT", "OVERQUOTA"}, strings.ToUpper(code))
	}
	ours := strings.HasPrefix(before, "login as ") || strings.HasPrefix(before, "the folder ")
	return !passing && (strings.HasPrefix(said, "5") || ours && !strings.HasPrefix(said, "4") && !strings.HasPrefix(said, "BYE"))
}
