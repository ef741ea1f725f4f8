package bucket

import (
	"context"
	"errors"
)

// unsettled is an object that is there from the first message of an import to
// its end, also where that was broken off. Its key is among the locks: whoever
// takes the lock lists these.
const unsettled = locks + "unsettled"

// Settle implements maildrop.Importer.
func (s *session) Settle(ctx context.Context, settled bool) (err error) {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := s.confirm(ctx); err != nil || s.lease.unsettled.Load() != settled {
		return err
	}
	if settled {
		err = s.store.remove(ctx, s.place, []string{unsettled}, func() error { return s.confirm(ctx) })
	} else {
		err = s.store.put(ctx, s.place, unsettled, nil)
	}
	if err == nil {
		s.lease.unsettled.Store(!settled)
	}
	return err
}

// confirmSettled is confirm for a removal that nothing brings back.
func (s *session) confirmSettled(ctx context.Context) error {
	if err := s.confirm(ctx); err != nil {
		return err
	}
	if s.lease.unsettled.Load() {
		return temporary("messages of "+s.name+" not removed", errors.New("they are being moved: another attempt keeps them aside"))
	}
	return nil
}
