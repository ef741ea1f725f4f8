package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/maildrop/maildir"
)

type userAddCmd struct {
	configFlag
	passwordFlags
	Name       string `arg:"" help:"The name that the user logs in with."`
	NoMaildrop bool   `help:"Make no Maildir."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (userAddCmd) Help() string {
	return `The password is asked for twice, or read as one line from standard input where that
is no terminal. It is stored as {ARGON2ID}, unless --scheme names another scheme: with
scram-sha-256 for all users the server offers SCRAM, but a stolen file is quicker to guess
from. A running server knows the user within a second.

Root gives the new Maildir to the user and group of the configuration.

Examples:

  poplin user add anna@example.org
  poplin user add --generate --scheme scram-sha-256 bert`
}

// Run adds the user. The maildrop comes first: whoever can log in has one.
func (c *userAddCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := directory.CheckName(c.Name); err != nil {
		return err
	}
	if err := c.refuseKnown(cfg); err != nil {
		return err
	}
	password, stored, err := c.newPassword(t, c.Name)
	if err != nil {
		return err
	}
	done := changed{Name: c.Name, Password: password}
	if !c.NoMaildrop && cfg.Maildrops.Store == config.Maildir {
		if done.Maildrop, err = makeMaildir(ctx, cfg, c.Name); err != nil {
			return c.named(c.Name, fmt.Errorf("making the Maildir: %w; nothing was added", err))
		}
	}
	made := !exists(cfg.Users.File)
	if err := directory.Add(ctx, cfg.Users.File, c.Name, stored); err != nil {
		return c.named(c.Name, err)
	}
	if made {
		if err := giveFile(cfg, cfg.Users.File); err != nil {
			fmt.Fprintf(t.err, "warning: the server may be unable to read the users file: %v\n", err)
		}
	}
	if isRoot() && cfg.User == "" && done.Maildrop != "" {
		fmt.Fprintln(t.err, "note: the Maildir belongs to root; name the server's user in the configuration (user = \"...\") to have it given to that one")
	}
	if c.JSON {
		return c.printed(c.Name, password, printJSON(t.out, done))
	}
	fmt.Fprintf(t.out, "%s was added to %s\n", c.Name, cfg.Users.File)
	if done.Maildrop != "" {
		fmt.Fprintf(t.out, "maildrop: %s\n", done.Maildrop)
	}
	return c.printed(c.Name, password, printGenerated(t, password))
}

// refuseKnown spares a user who exists the questions.
func (c *userAddCmd) refuseKnown(cfg *config.Config) error {
	list, err := directory.List(cfg.Users.File)
	if err != nil && !isMissing(err) {
		return err
	}
	for _, e := range list {
		if strings.EqualFold(e.Name, c.Name) {
			return c.named(c.Name, fmt.Errorf("%s:%d: %w", cfg.Users.File, e.Line, directory.ErrExists))
		}
	}
	return nil
}

// makeMaildir makes a user's Maildir and says where it is.
func makeMaildir(ctx context.Context, cfg *config.Config, name string) (string, error) {
	store, err := maildir.New(cfg.MaildirOptions())
	if err != nil {
		return "", err
	}
	defer store.Close()
	path := maildirPath(cfg, name)
	missing, err := missingFolders(path)
	if err != nil {
		return "", err
	}
	if err := store.Create(ctx, name); err != nil {
		return "", err
	}
	return path, missing.give(cfg)
}

// maildirPath shows where a user's Maildir is. It is for people: the store
// finds its way itself, and refuses names that lead elsewhere.
func maildirPath(cfg *config.Config, name string) string {
	local, domain := name, ""
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		local, domain = name[:at], name[at+1:]
	}
	return strings.NewReplacer("{user}", name, "{local}", local, "{domain}", domain).Replace(cfg.Maildrops.Path)
}
