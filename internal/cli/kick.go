package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/poplin-mail/poplin/internal/console"
)

type kickCmd struct {
	configFlag
	User    string `arg:"" optional:"" help:"Cut this user's sessions."`
	Session string `placeholder:"ID" help:"Cut this session: its name in the log and in poplin who."`
	RIP     string `name:"rip" placeholder:"ADDR" help:"Cut the sessions from this IP address."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (kickCmd) Help() string {
	return `Cuts the sessions that have all that is given, at once. No mail is deleted: what a
session has marked stays, as without QUIT. Mail programs connect again soon; a user who
must stay out is one for poplin user remove.

Exit codes: 0 done, 1 no session was found or it failed, 2 wrong command line, 3 no
server is running.

Examples:

  poplin kick anna@example.org
  poplin kick --rip 192.0.2.7`
}

// Validate is called by kong behind parsing.
func (c *kickCmd) Validate() error {
	if c.User == "" && c.Session == "" && c.RIP == "" {
		return errors.New("name a user, or give --session or --rip")
	}
	if _, err := netip.ParseAddr(c.RIP); c.RIP != "" && err != nil {
		return fmt.Errorf("--rip: %q is not an IP address", c.RIP)
	}
	return nil
}

// Run cuts the sessions.
func (c *kickCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	count, err := console.Kick(ctx, cfg.State, console.Selection{User: c.User, Session: c.Session, RIP: c.RIP})
	if err != nil && count == 0 {
		return asked(cfg.State, err)
	}
	if c.JSON {
		if err := printJSON(t.out, struct {
			Kicked int `json:"kicked"`
		}{count}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(t.out, "sessions cut: %d\n", count)
	}
	if err == nil && count == 0 {
		return errReported
	}
	return err
}
