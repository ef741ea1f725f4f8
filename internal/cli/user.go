package cli

import (
	"errors"
	"fmt"

	"github.com/poplin-mail/poplin/internal/directory"
)

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Add a user, with a maildrop."`
	Passwd userPasswdCmd `cmd:"" help:"Set a user's password."`
	Remove userRemoveCmd `cmd:"" help:"Remove a user. The mail stays."`
	List   userListCmd   `cmd:"" help:"List the users."`
}

// named says which user an error is about.
func named(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, directory.ErrExists):
		return fmt.Errorf("%s: %w: `poplin user passwd %s` sets the password", name, err, name)
	case errors.Is(err, directory.ErrNoUser):
		return fmt.Errorf("%s: %w: `poplin user list` shows who there is", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// changed is what the commands that change a user print with --json.
type changed struct {
	Name     string `json:"name"`
	Password string `json:"password,omitempty"` // where it was generated
	Maildrop string `json:"maildrop,omitempty"` // where one was made or is kept
}
