package cli

import (
	"context"
	"fmt"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
)

type userRemoveCmd struct {
	configFlag
	Name string `arg:"" help:"The user."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (userRemoveCmd) Help() string {
	return `The user can no longer log in, and the user's app passwords are removed too. A session
that is open goes on; the mail stays where it is.

Example:

  poplin user remove anna@example.org`
}

// Run removes the user.
func (c *userRemoveCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := directory.Remove(ctx, cfg.Users.File, c.Name); err != nil {
		return c.named(c.Name, err)
	}
	done := changed{Name: c.Name}
	if cfg.Users.AppPasswords != "" {
		if done.Apps, err = directory.RemoveAppPasswords(ctx, cfg.Users.AppPasswords, c.Name); err != nil {
			return fmt.Errorf("%s was removed, but not the user's app passwords, which would work again for a new user of that name: %w", c.Name, err)
		}
	}
	if cfg.Maildrops.Store == config.Maildir {
		done.Maildrop = maildirPath(cfg, c.Name)
	}
	if c.JSON {
		return printJSON(t.out, done)
	}
	fmt.Fprintf(t.out, "%s was removed from %s\n", c.Name, cfg.Users.File)
	if done.Apps > 0 {
		fmt.Fprintf(t.out, "app passwords removed: %d\n", done.Apps)
	}
	if done.Maildrop != "" {
		fmt.Fprintf(t.out, "the mail stays in %s\n", done.Maildrop)
	}
	return nil
}
