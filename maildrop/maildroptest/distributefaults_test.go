package maildroptest

import (
	"context"
	"io"
	"strings"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

// distributes is a Distributor of which one method is broken.
type distributes struct {
	*memory.Store
	distribute func(ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error)
}

func (d distributes) Distribute(ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
	return d.distribute(ctx, to, r)
}

// distributing makes a fault of Distribute.
func distributing(broken func(s *memory.Store, ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error)) func(*Harness, *memory.Store) {
	return func(h *Harness, s *memory.Store) {
		h.Deliverer = distributes{s, func(ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
			return broken(s, ctx, to, r)
		}}
	}
}

var distributeFaults = []fault{
	{"forgets the last recipient", "Distribute", "70 maildrops", distributing(
		func(s *memory.Store, ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
			return s.Distribute(ctx, to[:len(to)-1], r)
		})},
	{"delivers what came before the fault", "DistributeFailingReader", "nothing was delivered", distributing(
		func(s *memory.Store, ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
			part, _ := io.ReadAll(r)
			return s.Distribute(ctx, to, strings.NewReader(string(part)))
		})},
	{"knows no quota", "Quota", "want 2", distributing(
		func(s *memory.Store, ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
			free := make([]maildrop.Recipient, len(to))
			for i := range to {
				free[i].Maildrop = to[i].Maildrop
			}
			return s.Distribute(ctx, free, r)
		})},
}
