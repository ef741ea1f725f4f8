package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
)

// Move brings maildrops from one store of the configuration into the other.
type Move struct {
	mover *move.Mover
	from  expirer
	users *directory.Directory
	done  []io.Closer
}

// NewMove makes a Move for a command. It sets opts.Live: the source is live where
// it is the store that the configuration names. An object store is tried out
// first, but for a dry run.
func NewMove(ctx context.Context, cfg *config.Config, from, to string, opts move.Options, logger *slog.Logger) (*Move, error) {
	opts.Live = cfg.Maildrops.Store == from
	m := &Move{}
	var stores [2]maildrop.Store
	for i, name := range []string{from, to} {
		own, err := cfg.WithStore(name)
		if err == nil && !opts.DryRun {
			err = CheckStore(ctx, own, logger)
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
	m.from = stores[0].(expirer)
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

// Names gives the maildrops that there are in the source.
func (m *Move) Names(ctx context.Context) ([]string, error) { return m.from.Names(ctx) }

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
	result, runErr := m.mover.Run(ctx, name, watch)
	if runErr == nil && !known && result.Messages == 0 {
		runErr = ErrNoMaildrop
		if err != nil {
			runErr = fmt.Errorf("there is no mail, and of the user nothing is known: %w", err)
		}
	}
	return result, runErr
}

// RunMaildrop moves the maildrop of that name, whosever it is.
func (m *Move) RunMaildrop(ctx context.Context, name string, watch *move.Watch) (move.Result, error) {
	return m.mover.Run(ctx, name, watch)
}
