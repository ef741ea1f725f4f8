package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
)

type moveCmd struct {
	configFlag
	Users  []string      `arg:"" optional:"" name:"user" help:"Users, or maildrops that no user has any more."`
	From   string        `required:"" enum:"maildir,bucket" placeholder:"maildir|bucket" help:"Where the mail is."`
	To     string        `required:"" enum:"maildir,bucket" placeholder:"bucket|maildir" help:"Where it goes."`
	List   string        `placeholder:"FILE" help:"File with a user a line; - is standard input."`
	All    bool          `help:"All maildrops that there are in the source."`
	Keep   bool          `help:"Leave the source as it is, also where it would be emptied."`
	Empty  bool          `help:"Empty the source, also while the configuration names it: only where no server runs."`
	DryRun bool          `help:"Only say what would be done."`
	AtOnce int           `default:"4" placeholder:"N" help:"Maildrops at the same time (default: ${default})."`
	Wait   time.Duration `default:"10s" placeholder:"TIME" help:"How long a session that is open is waited for (default: ${default})."`
	JSON   bool          `name:"json" help:"Print a maildrop a line, in JSON, and then a summary."`
	Quiet  bool          `short:"q" help:"Print errors only."`
}

// Help shows below the flags.
func (moveCmd) Help() string {
	return `Messages are copied with their unique-ids, in their order and with their dates, and
compared with the source octet by octet. The configuration has the keys of both stores.

While maildrops.store names the source, the source stays as it is, for users see it; each
run brings what is new since the last one, and takes away what users have deleted since.
When maildrops.store names the destination, each maildrop of the source is emptied as soon
as all of it is safe there. While a maildrop is moved, sessions get [IN-USE] on both sides;
delivery goes on.

A run that was broken off is taken up by the next one. What is wrong with one maildrop
does not stop the others; nothing is removed from a source with a message that could not
be copied or is not the same.

--dry-run copies and removes nothing, but it locks each maildrop on both sides too, and so
needs the buckets.

Exit codes: 0 all is done, 1 some of it failed, 2 wrong command line, 75 what failed was in use: run it again.

Examples:

  poplin move --from maildir --to bucket --dry-run --all
  poplin move --from maildir --to bucket anna@example.org
  poplin move --from bucket --to maildir --list users.txt`
}

// moved is what is printed of a maildrop.
type moved struct {
	User     string       `json:"user"`
	Messages int          `json:"messages"`
	Octets   int64        `json:"octets"`
	Copied   int          `json:"copied"`
	There    int          `json:"there"` // at the destination before
	Compared int          `json:"compared"`
	Removed  int          `json:"removed"` // from the source
	Dropped  int          `json:"dropped"` // from the source, as the destination's user had removed them
	Gone     int          `json:"gone"`    // from the destination, as the source's user had removed them
	Left     int          `json:"left"`    // in the source
	Seconds  float64      `json:"seconds"`
	Failed   []moveFailed `json:"failed,omitempty"`
	Error    string       `json:"error,omitempty"`

	err  error
	part bool // more may be removed than Removed says: it ended while the source was emptied, and nobody could look
}

type moveFailed struct {
	UID   string `json:"uid"`
	Error string `json:"error"`
}

// Run moves maildrops.
func (c *moveCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := c.check(cfg); err != nil {
		return err
	}
	users := c.Users
	if c.List != "" {
		listed, err := c.listed(t.in)
		if err != nil {
			return err
		}
		users = append(users, listed...)
	}
	if err := notRoots(cfg, "move"); err != nil {
		return err
	}
	if err := becomeUser(cfg); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	m, err := daemon.NewMove(ctx, cfg, c.From, c.To, move.Options{Empty: c.empties(cfg), DryRun: c.DryRun, Wait: c.Wait}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer m.Close()
	do := m.Run
	if c.All {
		do = m.RunMaildrop
		if users, err = m.Names(ctx); err != nil {
			return err
		}
	}
	users = once(users)
	if err := c.notRoots(ctx, cfg, m, users); err != nil {
		return err
	}
	show := newMoveReport(c, t, len(users))
	c.each(ctx, users, do, show)
	return show.finish(cfg.Maildrops.Store == c.From)
}

// notRoots looks whose the Maildirs are that are moved. Their names are known
// only now: users are asked for where root stays root, and not otherwise.
func (c *moveCmd) notRoots(ctx context.Context, cfg *config.Config, m *daemon.Move, users []string) error {
	if !staysRoot(cfg) || len(users) == 0 {
		return nil
	}
	if c.All {
		return notRoots(cfg, "move", users[0])
	}
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = m.Maildrop(ctx, user)
	}
	return notRoots(cfg, "move", names...)
}

// empties tells whether the source is to be emptied.
func (c *moveCmd) empties(cfg *config.Config) bool {
	return !c.Keep && (c.Empty || cfg.Maildrops.Store == c.To)
}

// check finds what does not go together.
func (c *moveCmd) check(cfg *config.Config) error {
	wrong := func(text string) error { return &exitError{exitUsage, errors.New(text)} }
	named := len(c.Users) > 0 || c.List != ""
	switch {
	case c.From == c.To:
		return wrong("--from and --to are the same")
	case c.All && named:
		return wrong("--all is all maildrops: name none beside it")
	case !c.All && !named:
		return wrong("name users, or a file of them with --list, or take --all")
	case c.Keep && c.Empty:
		return wrong("--keep and --empty are the contrary of each other")
	case c.AtOnce < 1:
		return wrong("--at-once is below 1")
	case cfg.Maildrops.Store != c.From && cfg.Maildrops.Store != c.To:
		return fmt.Errorf("maildrops.store is %q: it must be one of the two, for it says which of them users see", cfg.Maildrops.Store)
	}
	return nil
}

// listed reads the list of users.
func (c *moveCmd) listed(in io.Reader) ([]string, error) {
	if c.List != "-" {
		f, err := os.Open(c.List)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var users []string
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if user := strings.TrimSpace(lines.Text()); user != "" && user[0] != '#' {
			users = append(users, user)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("list of users: %w", err)
	}
	return users, nil
}

// once gives each name once, as it comes first.
func once(names []string) []string {
	seen := make(map[string]bool, len(names))
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		twice := seen[name]
		seen[name] = true
		return twice
	})
}

// each moves maildrops, some at a time, until ctx ends.
func (c *moveCmd) each(ctx context.Context, users []string, do func(context.Context, string, *move.Watch) (move.Result, error), show *moveReport) {
	var all sync.WaitGroup
	room := make(chan struct{}, c.AtOnce)
	for _, user := range users {
		room <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-room }()
			began := time.Now()
			watch := show.begin(user)
			result, err := do(ctx, user, watch)
			show.ended(watch, newMoved(user, result, err, watch.Stage(), time.Since(began)))
		})
	}
	all.Wait()
}

// newMoved makes what is printed of what was done, until the stage that it came
// to.
func newMoved(user string, r move.Result, err error, stage string, took time.Duration) moved {
	m := moved{User: user, Messages: r.Messages, Octets: r.Octets, Copied: r.Copied, There: r.There, Compared: r.Compared,
		Removed: r.Removed, Dropped: r.Dropped, Gone: r.Gone, Left: r.Left, Seconds: took.Seconds(), err: err, part: err != nil && stage == "emptying" && r.Left == 0}
	for _, f := range r.Failed {
		m.Failed = append(m.Failed, moveFailed{f.UID, f.Err.Error()})
	}
	switch {
	case errors.Is(err, maildrop.ErrInUse):
		m.Error = "a session is open: " + err.Error()
	case errors.Is(err, context.Canceled) && stage == "emptying":
		m.Error = "stopped while the source was emptied, of which some may be removed: run it again, and it goes on"
	case errors.Is(err, context.Canceled):
		m.Error = "stopped: run it again, and it goes on"
	case err != nil:
		m.Error = err.Error()
	}
	return m
}
