package directory

import (
	"context"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// Source is one place that knows users: a passwd-file, a database, a
// directory server. It is used by many sessions at once.
type Source interface {
	// Lookup finds the user of a login. It gives nil, nil where this source
	// does not know the name, and an error where it cannot tell. It checks no
	// password. login.Password is not to be used.
	Lookup(ctx context.Context, login pop3server.Login) (*User, error)

	// Close gives back what the source holds.
	Close() error
}

// User is what a Source knows of a user. Either Secret or Verify says how the
// password is checked; where both are empty no password is right.
type User struct {
	Name     string // as the source spells it: CheckName takes it
	Maildrop string // the name of the maildrop; empty: Name

	// Secret is the stored password in the form of a passwd-file's second
	// field, {SCHEME} and hash. One that begins with "!" or "*" keeps the user
	// out altogether.
	Secret string

	// Verify asks the source whether the password is right. It gives
	// ErrBadCredentials, wrapped or not, where it is not.
	Verify func(ctx context.Context, password string) error

	// Deny is why the user may not log in although the password be right, for
	// the log; nil: the user may.
	Deny error

	// View is what this user sees of the maildrop, nil for the default.
	View *maildrop.View

	Keeping Keeping

	parsed *secret // Secret, where it was parsed already
}
