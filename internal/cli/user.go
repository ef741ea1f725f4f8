package cli

import (
	"errors"
	"fmt"

	"github.com/poplin-mail/poplin/internal/directory"
)

type userCmd struct {
	Add         userAddCmd         `cmd:"" help:"Add a user, with a maildrop."`
	Passwd      userPasswdCmd      `cmd:"" help:"Set a user's password."`
	Remove      userRemoveCmd      `cmd:"" help:"Remove a user. The mail stays."`
	List        userListCmd        `cmd:"" help:"List the users."`
	AppPassword userAppPasswordCmd `cmd:"" help:"Give each device of a user a password and a view of its own."`
}

// named says which user an error is about.
func (f configFlag) named(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, directory.ErrExists):
		return fmt.Errorf("%s: %w: %s sets the password", name, err, f.advise("user passwd", name))
	case errors.Is(err, directory.ErrNoUser):
		return fmt.Errorf("%s: %w: %s shows who there is", name, err, f.advise("user list", ""))
	}
	return fmt.Errorf("%s: %w", name, err)
}

// printed says what to do where a user got a password that could not be
// printed: nobody knows it.
func (f configFlag) printed(name, password string, err error) error {
	if err == nil || password == "" {
		return err
	}
	return fmt.Errorf("%s has a new password that could not be printed: %w: run %s", name, err, f.advise("user passwd", name))
}

// changed is what the commands that change a user print with --json.
type changed struct {
	Name     string `json:"name"`
	Password string `json:"password,omitempty"`      // where it was generated
	Maildrop string `json:"maildrop,omitempty"`      // where one was made or is kept
	Apps     int    `json:"app_passwords,omitempty"` // removed with the user
}
