package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
)

// Move brings maildrops from one store of the configuration into the other.
type Move struct {
	mover *move.Mover
	from  mover
	users *directory.Directory
	done  []io.Closer
	path  string // of Maildirs, with placeholders

	mu    sync.Mutex
	paths map[string]string // the maildrop of each Maildir that this one has to do with
}

// mover is a store from which mail can be moved.
type mover interface {
	expirer
	maildrop.Distributor
}

// NewMove makes a Move for a command. It sets opts.Live, as the source is live
// where it is the store that the configuration names, and opts.Shared. An
// object store is tried out first, and for a dry run only looked at: that
// writes nothing that stays.
func NewMove(ctx context.Context, cfg *config.Config, from, to string, opts move.Options, logger *slog.Logger) (*Move, error) {
	opts.Live = cfg.Maildrops.Store == from
	opts.Shared = to == config.Maildir && shares(cfg.Maildrops.Path)
	m := &Move{path: cfg.Maildrops.Path, paths: make(map[string]string)}
	var stores [2]maildrop.Store
	for i, name := range []string{from, to} {
		own, err := cfg.WithStore(name)
		if err == nil && opts.DryRun {
			err = LookAtStore(ctx, own)
		} else if err == nil {
			err = TryStore(ctx, own, logger)
		}
		if err == nil {
			own.Maildrops.Create = i == 1 && !opts.DryRun // a source that is missing is no empty one
			own.Maildrops.Bucket.Economy = false          // the lock from the beginning
			stores[i], err = newStore(own, logger)
		}
		if err != nil {
			m.Close()
			return nil, err
		}
		if c, ok := stores[i].(io.Closer); ok {
			m.done = append(m.done, c)
		}
	}
	m.from = stores[0].(mover)
	m.mover = move.New(stores[0], stores[1], opts)
	users, err := newDirectory(cfg, logger)
	if err != nil {
		m.Close()
		return nil, err
	}
	m.users = users
	m.done = append(m.done, users)
	return m, nil
}

// Close gives back what the Move holds.
func (m *Move) Close() {
	for _, c := range m.done {
		_ = c.Close() // everything that it wrote is safe already
	}
}

// errShared says that a Maildir would be that of two maildrops.
var errShared = errors.New("maildrops.path gives several maildrops one Maildir")

// Names gives the maildrops that there are in the source. Where the path of
// Maildirs does not say the whole name the error says so: a name made of the
// path would be another, and several would be moved into one Maildir.
func (m *Move) Names(ctx context.Context) ([]string, error) {
	if shares(m.path) {
		return nil, fmt.Errorf("%w, or may: %s has neither {user} nor both {local} and {domain}; name the users, or write {user} where their names have no @", errShared, m.path)
	}
	return m.from.Names(ctx)
}

// shares tells whether a path of Maildirs may be that of several maildrops.
func shares(path string) bool {
	has := func(word string) bool { return strings.Contains(path, word) }
	return !has("{user}") && !(has("{local}") && has("{domain}"))
}

// claim notes the Maildir of a maildrop. The error says whose it is already.
func (m *Move) claim(name string) error {
	path := MaildirOf(m.path, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if other, taken := m.paths[path]; taken && other != name {
		return fmt.Errorf("%w: %s is that of %s in this run", errShared, path, other)
	}
	m.paths[path] = name
	return nil
}

// Maildrop gives the name of a user's maildrop: the user's own where no source
// of users knows another.
func (m *Move) Maildrop(ctx context.Context, user string) string {
	if u, err := m.users.Recipient(ctx, user); err == nil && u != nil {
		return u.Maildrop
	}
	return user
}

// ErrNoMaildrop says that there is nothing of that name.
var ErrNoMaildrop = errors.New("there is no user of that name, and no mail for one")

// Run moves the maildrop of a user, or where no source of users knows the name,
// the maildrop that is named so.
func (m *Move) Run(ctx context.Context, user string, watch *move.Watch) (move.Result, error) {
	name, known := user, false
	u, err := m.users.Recipient(ctx, user)
	switch {
	case ctx.Err() != nil:
		return move.Result{}, ctx.Err()
	case err != nil: // a source that cannot tell who exists
	case u != nil:
		name, known = u.Maildrop, true
	}
	nothing := ErrNoMaildrop
	if err != nil {
		nothing = fmt.Errorf("there is no mail, and of the user nothing is known: %w", err)
	}
	if !known {
		// A destination would be made for a name that was mistyped.
		u, failed := m.from.Usage(ctx, name)
		if failed == nil && u.Messages == 0 || err == nil && errors.Is(failed, fs.ErrNotExist) {
			return move.Result{}, nothing
		}
	}
	result, err := m.RunMaildrop(ctx, name, watch)
	if err == nil && !known && result.Messages == 0 {
		err = nothing
	}
	return result, err
}

// RunMaildrop moves the maildrop of that name, whosever it is.
func (m *Move) RunMaildrop(ctx context.Context, name string, watch *move.Watch) (move.Result, error) {
	if err := m.claim(name); err != nil {
		return move.Result{}, err
	}
	return m.mover.Run(ctx, name, watch)
}
