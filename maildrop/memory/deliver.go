package memory

import (
	"context"
	"fmt"
	"io"

	"github.com/poplin-mail/poplin/maildrop"
)

// Deliver implements maildrop.Deliverer, but for one promise that memory
// cannot make: nothing here survives the loss of power. It makes the maildrop
// where there is none.
func (s *Store) Deliver(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
	outcomes, err := s.Distribute(ctx, []maildrop.Recipient{{Maildrop: name}}, r)
	if err != nil {
		return maildrop.Receipt{}, err
	}
	return outcomes[0].Receipt, outcomes[0].Err
}

// Distribute implements maildrop.Distributor, as far as Deliver implements
// maildrop.Deliverer.
func (s *Store) Distribute(ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
	content, err := io.ReadAll(&reader{ctx, r})
	if err != nil {
		return nil, fmt.Errorf("memory: message not taken: %w", err)
	}
	outcomes := make([]maildrop.Outcome, len(to))
	for i := range to {
		d, o := s.drop(to[i].Maildrop), &outcomes[i]
		if u := d.usage(); !to[i].Quota.Admits(u, int64(len(content))) {
			o.Err = fmt.Errorf("memory: %s holds %d octets in %d messages: %w", to[i].Maildrop, u.Octets, u.Messages, maildrop.ErrOverQuota)
			continue
		}
		o.Receipt, o.Err = d.add(s.token, "", content)
	}
	return outcomes, nil
}

// Usage implements maildrop.Distributor.
func (s *Store) Usage(ctx context.Context, name string) (maildrop.Usage, error) {
	if err := ctx.Err(); err != nil {
		return maildrop.Usage{}, err
	}
	d, err := s.existing(name)
	if err != nil {
		return maildrop.Usage{}, err
	}
	return d.usage(), nil
}

// usage counts.
func (d *drop) usage() maildrop.Usage {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := maildrop.Usage{Messages: int64(len(d.messages))}
	for _, m := range d.messages {
		u.Octets += int64(len(m.content))
	}
	return u
}
