package bucket

import (
	"context"
	"errors"
	"slices"
)

// unsettled is what the key of an object begins with that is there from the
// first message of an import to its end, also where that was broken off. It is
// among the locks: whoever takes the lock lists these. Each has another name,
// so that a request to remove one that is still on its way does no harm.
const unsettled = locks + "unsettled."

// Settle implements maildrop.Importer.
func (s *session) Settle(ctx context.Context, settled bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	known := *s.lease.unsettled.Load()
	if settled && len(known) > 0 {
		if err := s.store.remove(ctx, s.place, known, func() error { return s.confirm(ctx) }); err != nil {
			return err
		}
		// The lock may have been taken again, and others found.
		left := slices.DeleteFunc(slices.Clone(*s.lease.unsettled.Load()), func(key string) bool { return slices.Contains(known, key) })
		s.lease.unsettled.Store(&left)
	}
	if settled || slices.Contains(known, s.importing) {
		return nil
	}
	mine := unsettled + nonce()
	if err := s.store.put(ctx, s.place, mine, nil); err != nil {
		return err
	}
	s.importing = mine
	if len(known) > 0 { // of imports that were broken off
		s.store.forget(ctx, s.place, known...)
	}
	known = append(slices.Clip(known), mine)
	s.lease.unsettled.Store(&known)
	return nil
}

// settled tells whether no import was broken off, or is under way.
func (l *lease) settled() bool { return len(*l.unsettled.Load()) == 0 }

// confirmSettled is confirm for a removal that nothing brings back.
func (s *session) confirmSettled(ctx context.Context) error {
	if err := s.confirm(ctx); err != nil {
		return err
	}
	if !s.lease.settled() {
		return temporary("messages of "+s.name+" not removed", errors.New("they are being moved: another attempt keeps them aside"))
	}
	return nil
}
