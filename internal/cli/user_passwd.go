package cli

import (
	"context"
	"fmt"

	"github.com/poplin-mail/poplin/internal/directory"
)

type userPasswdCmd struct {
	configFlag
	passwordFlags
	Name string `arg:"" help:"The user."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (userPasswdCmd) Help() string {
	return `The password is asked for twice, or read as one line from standard input where that
is no terminal. Everything else on the user's line stays.

Example:

  poplin user passwd anna@example.org < password.txt`
}

// Run sets the password.
func (c *userPasswdCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	password, stored, err := c.newPassword(t, c.Name)
	if err != nil {
		return err
	}
	if err := directory.SetPassword(ctx, cfg.Users.File, c.Name, stored); err != nil {
		return c.named(c.Name, err)
	}
	if c.JSON {
		return c.printed(c.Name, password, printJSON(t.out, changed{Name: c.Name, Password: password}))
	}
	fmt.Fprintf(t.out, "%s has a new password\n", c.Name)
	return c.printed(c.Name, password, printGenerated(t, password))
}
