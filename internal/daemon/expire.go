package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/maildrop"
)

// sweepEvery is how often the server removes what is too old: retention is
// counted in days.
const sweepEvery = 24 * time.Hour

// Expiry removes messages that are older than they may get.
type Expiry struct {
	cfg   *config.Config
	users *directory.Directory
	store expirer
	log   *slog.Logger
}

// NewExpiry makes an Expiry for a command; done gives back what it holds.
func NewExpiry(cfg *config.Config, logger *slog.Logger) (e *Expiry, done func(), err error) {
	store, err := newStore(cfg, logger)
	if err != nil {
		return nil, nil, err
	}
	old, ok := store.(expirer)
	if !ok {
		return nil, nil, fmt.Errorf("maildrops.store is %q: it keeps nothing that could be too old", cfg.Maildrops.Store)
	}
	users, err := newDirectory(cfg, logger)
	if err != nil {
		return nil, nil, err
	}
	return &Expiry{cfg, users, old, logger}, func() { users.Close() }, nil
}

// Names gives the maildrops that there are.
func (e *Expiry) Names(ctx context.Context) ([]string, error) { return e.store.Names(ctx) }

// Expired is what was too old in a maildrop.
type Expired struct {
	Maildrop string        `json:"maildrop"`
	Age      time.Duration `json:"-"` // that messages may reach; 0: any
	maildrop.Usage
}

// ErrNobodys says that a maildrop is left alone: how long its user may keep
// mail is not known.
var ErrNobodys = errors.New("no user of that name has this maildrop")

// Run removes what is too old in the maildrop of that name, or with dry tells
// what that is. Where a session is open the error wraps maildrop.ErrInUse. A
// source of users may give a user a maildrop of another name, and tells nobody
// whose a maildrop is: then the error is ErrNobodys.
func (e *Expiry) Run(ctx context.Context, name string, dry bool) (Expired, error) {
	x := Expired{Maildrop: name, Age: e.cfg.Retention.Expire}
	u, err := e.users.Recipient(ctx, name)
	if err != nil {
		return x, err
	}
	known := u != nil && u.Maildrop == name
	if known && u.Keeping.Expire != nil {
		x.Age = *u.Keeping.Expire
	}
	if x.Age > 0 && !known {
		return x, ErrNobodys
	}
	if x.Age == 0 {
		return x, nil
	}
	x.Usage, err = e.store.Expire(ctx, name, time.Now().Add(-x.Age), dry)
	return x, err
}

// askEvery is how often a server asks whether it is its turn to do so, where
// others serve the same maildrops.
const askEvery = time.Hour

// turner is a store that several servers share: one of them at a time does what
// is to be done for all.
type turner interface {
	Turn(ctx context.Context, what string, every time.Duration) (bool, error)
}

// expireDaily removes what is too old in all maildrops, once a day, until ctx
// ends. A maildrop in which a session is open has its turn the next day.
func (d *Daemon) expireDaily(ctx context.Context) {
	old, ok := d.store.(expirer)
	if !ok {
		return
	}
	e := &Expiry{d.cfg, d.users, old, d.log}
	every := sweepEvery
	turns, shared := d.store.(turner)
	if shared {
		every = askEvery
	}
	for wait := time.Minute; ; wait = every { // not while a restart is under way
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if shared {
			mine, err := turns.Turn(ctx, "expire", sweepEvery)
			if err != nil && ctx.Err() == nil {
				e.log.Error("messages that are too old were not looked for", "error", err)
			}
			if !mine {
				continue
			}
		}
		e.all(ctx)
	}
}

func (e *Expiry) all(ctx context.Context) {
	names, err := e.Names(ctx)
	if err != nil {
		e.log.Error("messages that are too old were not looked for", "error", err)
		return
	}
	nobodys := 0
	for _, name := range names {
		x, err := e.Run(ctx, name, false)
		switch {
		case errors.Is(err, ErrNobodys):
			nobodys++
		case ctx.Err() != nil:
			return
		case errors.Is(err, maildrop.ErrInUse):
		case err != nil:
			e.log.Warn("messages that are too old were not removed", "maildrop", name, "error", err)
		case x.Messages > 0:
			e.log.Info("messages expired", "maildrop", name, "messages", x.Messages, "octets", x.Octets, "age", x.Age.String())
		}
	}
	if nobodys > 0 {
		e.log.Warn("messages stay, however old: no user has the name of their maildrop (`poplin expire --dry-run` names it)", "maildrops", nobodys)
	}
}
