package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/maildrop"
)

type expireCmd struct {
	configFlag
	Maildrops []string `arg:"" optional:"" name:"maildrop" help:"Maildrops, which are named as their users mostly. Without any: all."`
	DryRun    bool     `help:"Only say what would be removed."`
	JSON      bool     `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (expireCmd) Help() string {
	return `Messages that came longer ago than retention.expire, or than their user's source of users
says (expire=30d in a passwd-file, expire_days in a database), are removed for good. A
maildrop in which a session is open is left out, and said so, and so is one that no user
of its name has. The server does the same once a day.

Examples:

  poplin expire --dry-run
  poplin expire anna@example.org`
}

// Run removes what is too old.
func (c *expireCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if cfg.Maildrops.Store == config.Maildir {
		if err := notRoots(cfg, "expire", c.Maildrops...); err != nil {
			return err
		}
	}
	if err := becomeUser(cfg); err != nil {
		return err
	}
	e, done, err := daemon.NewExpiry(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer done()
	names := c.Maildrops
	if len(names) == 0 {
		if names, err = e.Names(ctx); err != nil {
			return err
		}
		if cfg.Maildrops.Store == config.Maildir && len(names) > 0 {
			if err := notRoots(cfg, "expire", names[0]); err != nil {
				return err
			}
		}
	}
	verb := "removed"
	if c.DryRun {
		verb = "would be removed"
	}
	failed, removed, limited := 0, int64(0), false
	all := make([]daemon.Expired, 0, len(names))
	for _, name := range names {
		x, err := e.Run(ctx, name, c.DryRun)
		if errors.Is(err, maildrop.ErrInUse) {
			fmt.Fprintf(t.err, "poplin: %s: a session is open: left out\n", name)
			continue
		} else if errors.Is(err, daemon.ErrNobodys) && len(c.Maildrops) == 0 {
			fmt.Fprintf(t.err, "poplin: %s: %v: left out\n", name, err)
			continue
		} else if err != nil {
			fmt.Fprintf(t.err, "poplin: %s: %v\n", name, err)
			failed++
			continue
		}
		all = append(all, x)
		removed, limited = removed+x.Messages, limited || x.Age > 0
		if !c.JSON && x.Messages > 0 {
			fmt.Fprintf(t.out, "%s: %d messages of %d octets %s\n", name, x.Messages, x.Octets, verb)
		}
	}
	if c.JSON {
		if err := printJSON(t.out, all); err != nil {
			return err
		}
	}
	if failed > 0 {
		return errReported
	}
	if c.DryRun && !c.JSON && removed == 0 {
		fmt.Fprintln(t.out, nothing(limited))
	}
	return nil
}

// nothing says why a dry run found nothing. Without --dry-run silence is the
// answer that cron wants.
func nothing(limited bool) string {
	if limited {
		return "nothing would be removed: no message is too old"
	}
	return `nothing would be removed: retention.expire is "0s", and none of these users has a time of their own`
}
