package bucket

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// lease is a session's lock in the store: an object of its own, k/NONCE, which
// it renews. Nobody needs a conditional write to take a lock: who wants it
// announces itself first and then looks, so of two at the same time one at
// least sees the other. Both may, and both are refused.
//
// Others take the lock for a dead node's when it is older than the lease and
// an eighth, by the store's clock. The holder counts by its own from before it
// wrote, and stops an eighth before the lease is over. So it knows first, and
// the clocks of nodes need not agree with each other or with the store's.
type lease struct {
	store *Store
	place
	busy  chan struct{} // held by who speaks to the store about the lock
	nonce string        // of the object; empty while there is none
	timer *time.Timer   // renews
	ended bool
	until atomic.Pointer[time.Time] // held until then; others may look at it

	unsettled atomic.Pointer[[]string] // keys that say that an import has not ended, as the last announcement found them
}

func (s *Store) newLease(p place) *lease {
	return &lease{store: s, place: p, busy: make(chan struct{}, 1)}
}

// left is for how long the lock is still held. Time passes by both of the
// clocks of the machine: one stands still while it sleeps, the other one can
// be set.
func (l *lease) left() time.Duration {
	until, now := l.until.Load(), l.store.now()
	if until == nil {
		return 0
	}
	return min(until.Sub(now), until.Round(0).Sub(now.Round(0)))
}

// late tells whether others may have taken the lock.
func (l *lease) late() bool { return l.left() <= 0 }

// term is how long a lease lasts for its holder.
func (s *Store) term() time.Duration { return s.lease - s.lease/8 }

// dead tells whether the holder of a lock must have stopped by now.
func (s *Store) dead(k lock) bool { return k.age > s.lease+s.lease/8 }

// announce takes the lock, and lists the objects of the maildrop whose keys
// begin with part, which the locks must be among. The error wraps
// maildrop.ErrInUse where another session holds it. Each time the lock has
// another name: whatever request is still on its way for an earlier one does
// no harm.
func (l *lease) announce(ctx context.Context, part string) (*listing, error) {
	s, mine := l.store, nonce()
	until := s.now().Add(s.term())
	err := s.put(ctx, l.place, locks+mine, nil)
	var found *listing
	if err == nil {
		found, err = s.look(ctx, l.place, part)
	}
	if err == nil {
		err = l.alone(found, mine)
	}
	old := l.nonce
	if err == nil {
		l.nonce = mine
		l.until.Store(&until)
		l.unsettled.Store(&found.unsettled)
		if l.late() {
			l.nonce, err = old, temporary("lock of "+l.name, errors.New("the store took longer than the lease lasts"))
		}
	}
	if err != nil {
		s.forget(ctx, l.place, locks+mine)
		return nil, err
	}
	l.sweep(ctx, found, old)
	return found, nil
}

// alone tells whether the lock is this lease's own, by a listing made after it
// was announced.
func (l *lease) alone(found *listing, mine string) error {
	seen := false
	for _, k := range found.locks {
		switch {
		case k.nonce == mine:
			seen = true
		case k.nonce != l.nonce && !l.store.dead(k):
			return fmt.Errorf("bucket: %s: %w", l.name, maildrop.ErrInUse)
		}
	}
	if !seen {
		// Messages could be missing as well.
		return temporary("lock of "+l.name, errors.New("the store does not list what was just written: it cannot be used for maildrops"))
	}
	return nil
}

// sweep deletes the locks of the dead, the one that this lease had before, and
// signs of imports that say nothing any more.
func (l *lease) sweep(ctx context.Context, found *listing, old string) {
	gone := found.expired
	for _, k := range found.locks {
		if l.store.dead(k) || k.nonce == old {
			gone = append(gone, locks+k.nonce)
		}
	}
	if len(gone) > 0 {
		l.store.forget(ctx, l.place, gone...)
	}
}

// start begins to renew the lock.
func (l *lease) start() {
	l.busy <- struct{}{}
	defer func() { <-l.busy }()
	l.timer = time.AfterFunc(l.store.lease/3, l.renew)
}

// renew makes the lock young again. A lease that is over is not taken up: the
// session may never need it.
func (l *lease) renew() {
	l.busy <- struct{}{}
	defer func() { <-l.busy }()
	if l.ended || l.late() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.left())
	defer cancel()
	if err := l.refresh(ctx); err != nil {
		l.store.log.Warn("session lock was not renewed", "maildrop", l.name, "error", err)
	}
	l.timer.Reset(l.store.lease / 3)
}

// errLate says that a lease ended before it was renewed.
var errLate = errors.New("the lease ended before it was renewed")

// refresh writes the lock again. Where the old lease ended meanwhile others
// may have seen it end, and the new one says nothing.
func (l *lease) refresh(ctx context.Context) error {
	until := l.store.now().Add(l.store.term())
	if err := l.store.put(ctx, l.place, locks+l.nonce, nil); err != nil {
		return err
	}
	if l.late() {
		return errLate
	}
	l.until.Store(&until)
	return nil
}

// confirm makes sure that the lock is held for at least that long. A lease
// that is over is taken again, if nobody else has it.
func (l *lease) confirm(ctx context.Context, atLeast time.Duration) error {
	select {
	case l.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.busy }()
	if l.ended {
		return errClosed
	}
	if !l.late() {
		if l.left() > atLeast {
			return nil
		}
		if err := l.refresh(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	_, err := l.announce(ctx, locks)
	if err == nil {
		l.timer.Reset(l.store.lease / 3)
	}
	return err
}

// end gives the lock back, once a renewal that is under way has ended: it
// would write the lock again.
func (l *lease) end() {
	l.busy <- struct{}{}
	defer func() { <-l.busy }()
	if l.ended {
		return
	}
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.nonce != "" {
		l.store.forget(context.Background(), l.place, locks+l.nonce)
	}
}
