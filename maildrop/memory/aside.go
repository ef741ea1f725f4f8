package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var (
	_ maildrop.Notes = (*snapshot)(nil)
	_ maildrop.Aside = (*snapshot)(nil)
)

// removed is a message that is kept aside.
type removed struct {
	*message
	at, until time.Time
}

// Note implements maildrop.Notes.
func (s *snapshot) Note(ctx context.Context, key string) ([]byte, error) {
	if err := s.checkKey(ctx, key); err != nil {
		return nil, err
	}
	return slices.Clone(s.drop.notes[key]), nil
}

// SetNote implements maildrop.Notes.
func (s *snapshot) SetNote(ctx context.Context, key string, note []byte) error {
	if err := s.checkKey(ctx, key); err != nil {
		return err
	}
	s.drop.notes[key] = append([]byte{}, note...)
	return nil
}

// checkKey tells what is wrong with a call for a note. Notes are for the
// session alone, so they need no lock.
func (s *snapshot) checkKey(ctx context.Context, key string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	if !maildrop.ValidKey(key) {
		return fmt.Errorf("memory: key of a note %q is not 1 to 64 octets of a-z, 0-9, - and _", key)
	}
	return nil
}

// SetAside implements maildrop.Aside.
func (s *snapshot) SetAside(ctx context.Context, marked []int, period time.Duration) error {
	taken, err := s.take(ctx, marked)
	now := time.Now()
	s.drop.mu.Lock()
	defer s.drop.mu.Unlock()
	s.drop.expire(now)
	for _, m := range taken {
		s.drop.aside = append(s.drop.aside, removed{m, now, now.Add(period)})
	}
	return err
}

// Kept implements maildrop.Aside.
func (s *snapshot) Kept(ctx context.Context) ([]string, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	s.drop.mu.Lock()
	defer s.drop.mu.Unlock()
	uids := make([]string, len(s.drop.aside))
	for i, r := range s.drop.aside {
		uids[i] = r.UID
	}
	return uids, nil
}

// expire removes for good what was kept aside long enough.
func (d *drop) expire(now time.Time) {
	d.aside = slices.DeleteFunc(d.aside, func(r removed) bool { return !now.Before(r.until) })
}

// Undelete implements maildrop.Undeleter.
func (s *Store) Undelete(ctx context.Context, name string, since time.Time) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	d, err := s.existing(name)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held {
		return 0, errInUse(name)
	}
	d.expire(time.Now())
	before := len(d.messages)
	d.aside = slices.DeleteFunc(d.aside, func(r removed) bool {
		back := !r.at.Before(since)
		if back {
			d.messages = append(d.messages, r.message)
		}
		return back
	})
	count := len(d.messages) - before
	slices.SortStableFunc(d.messages, func(a, b *message) int { return a.Received.Compare(b.Received) })
	return count, nil
}
