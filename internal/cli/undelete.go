package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/maildrop"
)

type undeleteCmd struct {
	configFlag
	Name     string  `arg:"" help:"The user."`
	Since    timeAgo `placeholder:"TIME" help:"Only messages removed within that time: 12h, 7d. Without it all that are kept."`
	Maildrop string  `placeholder:"NAME" help:"The maildrop, where its name is not the user's."`
	JSON     bool    `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (undeleteCmd) Help() string {
	return `Messages that were removed with undo, by views.undo or by --undo of an app password,
are kept for that time and come back with their flags and unique-ids. Mail programs see
them at their next login. A session that is open is waited for.

Examples:

  poplin undelete anna@example.org
  poplin undelete anna@example.org --since 2h`
}

// timeAgo is a flag that holds a duration as the configuration does.
type timeAgo time.Duration

// UnmarshalText is called by kong.
func (t *timeAgo) UnmarshalText(text []byte) error {
	d, err := config.Duration(string(text))
	if err == nil && d == 0 {
		err = errors.New("it is zero")
	}
	if err != nil {
		return fmt.Errorf("%q is no time such as 90m, 12h or 7d: %w", text, err)
	}
	*t = timeAgo(d)
	return nil
}

// undeleted is what --json prints.
type undeleted struct {
	Maildrop string `json:"maildrop"`
	Messages int    `json:"messages"`
}

// Run brings messages back.
func (c *undeleteCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := becomeUser(cfg); err != nil {
		return err
	}
	store, err := daemon.Undeleter(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	name, err := c.maildrop(cfg)
	if err != nil {
		return err
	}
	if cfg.Maildrops.Store == config.Maildir {
		if err := notRoots(cfg, "undelete", name); err != nil {
			return err
		}
	}
	var since time.Time
	if c.Since > 0 {
		since = time.Now().Add(-time.Duration(c.Since))
	}
	count, err := undelete(ctx, store, name, since)
	if errors.Is(err, maildrop.ErrInUse) {
		return fmt.Errorf("%s: a mail program is logged in and keeps the maildrop: wait until it is done, and run this again", name)
	}
	if err != nil {
		return fmt.Errorf("%s: messages brought back: %d, and not all: %w", name, count, err)
	}
	if c.JSON {
		return printJSON(t.out, undeleted{name, count})
	}
	_, err = fmt.Fprintf(t.out, "%s: messages brought back: %d\n", name, count)
	return err
}

// maildrop gives the name of the user's maildrop. A passwd-file knows the
// user's name in its own spelling; other sources are not asked, as they cannot
// be without a login.
func (c *undeleteCmd) maildrop(cfg *config.Config) (string, error) {
	if c.Maildrop != "" || !slices.Contains(cfg.Users.Source, config.File) {
		return cmp.Or(c.Maildrop, c.Name), nil
	}
	list, err := directory.List(cfg.Users.File)
	if err != nil && !isMissing(err) {
		return "", err
	}
	for _, e := range list {
		if strings.EqualFold(e.Name, c.Name) {
			return e.Name, nil
		}
	}
	if len(cfg.Users.Source) > 1 {
		return c.Name, nil
	}
	return "", fmt.Errorf("%w; --maildrop names the maildrop of a user who was removed", c.named(c.Name, directory.ErrNoUser))
}

const (
	// sessionWait is how long a session that is open is waited for.
	sessionWait = 10 * time.Second

	// sessionLook is how often it is looked whether it has ended.
	sessionLook = 200 * time.Millisecond
)

// undelete brings messages back once no session is open.
func undelete(ctx context.Context, store maildrop.Undeleter, name string, since time.Time) (int, error) {
	for deadline := time.Now().Add(sessionWait); ; {
		count, err := store.Undelete(ctx, name, since)
		if !errors.Is(err, maildrop.ErrInUse) || time.Now().After(deadline) {
			return count, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(sessionLook):
		}
	}
}
