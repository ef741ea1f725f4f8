package bucket

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/poplin-mail/poplin/maildrop"
)

// Deliver implements maildrop.Deliverer: the message is stored under a key of
// its own, then the maildrop's generation is changed. It takes no lock. The
// error wraps maildrop.ErrTemporary or maildrop.ErrPermanent, unless it comes
// from r or ctx.
//
// Where the store gives no answer, what it did is not known. The object is
// then deleted again; where that has no answer either, a message that was not
// acknowledged may be there, and come a second time.
func (s *Store) Deliver(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
	outcomes, err := s.Distribute(ctx, []maildrop.Recipient{{Maildrop: name}}, r)
	if err != nil {
		return maildrop.Receipt{}, err
	}
	return outcomes[0].Receipt, outcomes[0].Err
}

// atOnce bounds how many recipients of a message are served at the same time.
const atOnce = 16

// delivery is a message on its way.
type delivery struct {
	*Store
	content spool
	message message
}

// Distribute implements maildrop.Distributor. The message has the same
// unique-id in all maildrops. A quota costs a listing of the maildrop. Errors
// of outcomes are as those of Deliver, or wrap maildrop.ErrOverQuota.
func (s *Store) Distribute(ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
	outcomes := make([]maildrop.Outcome, len(to))
	places := make([]place, len(to))
	usable := 0
	for i := range to {
		if places[i], outcomes[i].Err = s.begin(ctx, to[i].Maildrop); outcomes[i].Err == nil {
			usable++
		}
	}
	if err := ctx.Err(); err != nil || usable == 0 {
		return outcomes, err
	}
	d := &delivery{Store: s, content: spool{temp: s.temp}}
	defer d.content.close()
	from := &source{ctx: ctx, r: r}
	err := d.take(from)
	if from.err != nil {
		return nil, from.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for i := range to {
		o := &outcomes[i]
		if o.Err == nil {
			o.Err = err
		}
		if o.Err != nil {
			continue
		}
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			o.Receipt, o.Err = d.deliver(ctx, places[i], to[i].Quota)
		})
	}
	all.Wait()
	return outcomes, nil
}

// take reads the message.
func (d *delivery) take(r io.Reader) error {
	if err := d.gather(r); err != nil {
		return err
	}
	id, err := d.uids.next(d.now())
	d.message.name(id, id, timeOf(id))
	return err
}

// gather reads what the object will be made of.
func (d *delivery) gather(r io.Reader) (err error) {
	if d.message.octets, err = d.fill(&d.content, r); err != nil {
		return temporary("message not taken", err)
	}
	d.message.packed = d.pack
	return nil
}

// deliver stores the message for one recipient.
func (d *delivery) deliver(ctx context.Context, p place, q maildrop.Quota) (maildrop.Receipt, error) {
	if err := d.admit(ctx, p, q, d.message.octets); err != nil {
		return maildrop.Receipt{}, err
	}
	m, err := d.write(ctx, p)
	if err == nil {
		err = d.touch(ctx, p)
	}
	if err != nil {
		d.forget(ctx, p, m.key()) // nobody was told that it is there
		return maildrop.Receipt{}, err
	}
	return maildrop.Receipt{UID: m.uid, Octets: m.octets}, nil
}

// write stores the object of the message in a maildrop. Where that fails it may
// be there. An import leaves it so: the next one has the same key, and a store
// that carries a deletion out late would take from it what it has stored.
func (d *delivery) write(ctx context.Context, p place) (message, error) {
	m, content := d.message, &d.content
	if len(d.keys) > 0 {
		m.sealed = true
		content = &spool{temp: d.temp}
		defer content.close()
		if err := seal(content, d.content.reader(), &d.keys[0], p, m.sealedAs()); err != nil {
			return m, temporary("message not sealed", err)
		}
	}
	m.sum = content.sum
	err := d.try(ctx, "cannot write message "+m.id, func(ctx context.Context) error {
		return d.engine.Put(ctx, p.bucket, p.prefix+m.key(), content.reader(), content.size)
	})
	return m, err
}

// admit tells whether there is room for a message of that many octets.
func (s *Store) admit(ctx context.Context, p place, q maildrop.Quota, octets int64) error {
	if q == (maildrop.Quota{}) {
		return nil
	}
	l, err := s.look(ctx, p, "")
	if err != nil {
		return err
	}
	if u := l.usage(); !q.Admits(u, octets) {
		return fmt.Errorf("bucket: %s holds %d octets in %d messages: %w", p.name, u.Octets, u.Messages, maildrop.ErrOverQuota)
	}
	return nil
}

// Usage implements maildrop.Distributor. Octets are those of the messages in
// the form of the wire, whatever packing and encryption make of them.
func (s *Store) Usage(ctx context.Context, name string) (maildrop.Usage, error) {
	p, err := s.begin(ctx, name)
	if err != nil {
		return maildrop.Usage{}, err
	}
	l, err := s.look(ctx, p, "")
	if err != nil {
		return maildrop.Usage{}, err
	}
	return l.usage(), nil
}
