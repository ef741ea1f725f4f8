package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// Deliver implements maildrop.Deliverer: the message is written to tmp/, and
// synced, then linked into new/, and that synced. It takes no lock. The error
// wraps maildrop.ErrTemporary or maildrop.ErrPermanent, unless it comes from
// r or ctx.
func (s *Store) Deliver(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
	outcomes, err := s.Distribute(ctx, []maildrop.Recipient{{Maildrop: name}}, r)
	if err != nil {
		return maildrop.Receipt{}, err
	}
	return outcomes[0].Receipt, outcomes[0].Err
}

// atOnce bounds how many Maildirs a delivery has open.
const atOnce = 32

// Distribute implements maildrop.Distributor. The message is written once, to
// the tmp/ of one of the recipients, and linked into every new/; it is copied
// only to another file system. Errors of outcomes are as those of Deliver, or
// wrap maildrop.ErrOverQuota.
func (s *Store) Distribute(ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
	outcomes := make([]maildrop.Outcome, len(to))
	d, first, err := s.stage(ctx, to, outcomes)
	if d == nil {
		return outcomes, err
	}
	defer d.folder.close()
	err = d.fill(ctx, r)
	if err == nil {
		err = d.finish()
	}
	// Once it is delivered, what stays in tmp/ is swept some day.
	defer d.discard()
	var stored *storageError
	switch {
	case errors.As(err, &stored):
		for i := range outcomes {
			if outcomes[i].Err == nil {
				outcomes[i].Err = err
			}
		}
		return outcomes, nil
	case err != nil:
		return nil, err
	}
	// Links first and syncs behind them: the journal takes all links of a
	// batch in one transaction, which the first sync writes.
	batch := make([]*publication, 0, min(len(to), atOnce))
	for i := range to {
		if outcomes[i].Err != nil || i == first {
			continue
		}
		p := &publication{to: &to[i], outcome: &outcomes[i]}
		if p.folder, p.outcome.Err = s.find(ctx, to[i].Maildrop); p.outcome.Err == nil {
			p.own = true
			p.link(ctx, d)
		}
		if batch = append(batch, p); len(batch) == atOnce {
			syncAll(batch, d)
			batch = batch[:0]
		}
	}
	// The recipient whose tmp/ it is in comes last: where there are no links,
	// the file itself moves there.
	p := &publication{folder: d.folder, to: &to[first], outcome: &outcomes[first]}
	p.link(ctx, d)
	syncAll(append(batch, p), d)
	return outcomes, nil
}

// find opens the Maildir of that name.
func (s *Store) find(ctx context.Context, name string) (*folder, error) {
	parts, err := s.begin(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.open(parts)
}

// stage makes the file of a message in the tmp/ of a recipient, and notes what
// is wrong with those that it tries before. The order is random, so that one
// whose disk is full does not keep a message from the others at every try.
// Without a usable recipient there is no delivery; the error is that of ctx.
func (s *Store) stage(ctx context.Context, to []maildrop.Recipient, outcomes []maildrop.Outcome) (*delivery, int, error) {
	start := 0
	if len(to) > 1 {
		start = rand.IntN(len(to))
	}
	for n := range to {
		i := (start + n) % len(to)
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		f, err := s.find(ctx, to[i].Maildrop)
		if err == nil {
			d := &delivery{folder: f}
			if err = d.create(s.names); err == nil {
				return d, i, nil
			}
			f.close()
		}
		outcomes[i].Err = err
	}
	return nil, 0, nil
}

// delivery is one message on its way in: a file in tmp/.
type delivery struct {
	*folder
	tmp    int
	fd     int // -1 once it is closed
	name   string
	moved  bool // it is not in tmp/ any more
	size   maildrop.SizeCounter
	octets int64 // as stored
}

// nameTries bounds how many names are tried that exist already.
const nameTries = 10

// create makes the file in the folder's tmp/.
func (d *delivery) create(names func(time.Time) string) (err error) {
	if d.tmp, err = d.sys.open(d.top, "tmp", unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return explain(d.folder.name+"/tmp", err)
	}
	for range nameTries {
		d.name = names(time.Now())
		if err = d.open(); !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	if err != nil {
		d.sys.close(d.tmp)
		return temporary("no message can be made in "+d.folder.name, err)
	}
	return nil
}

// open makes the file under the name that is chosen.
func (d *delivery) open() (err error) {
	d.fd, err = d.sys.open(d.tmp, d.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	return err
}

// discard takes the file out of tmp/.
func (d *delivery) discard() {
	if d.fd >= 0 {
		d.sys.close(d.fd)
	}
	if !d.moved {
		d.sys.unlink(d.tmp, d.name)
	}
	d.sys.close(d.tmp)
}

// storageError is a fault of the storage, not of the message's source.
type storageError struct{ error }

func (e *storageError) Unwrap() error { return e.error }

func (d *delivery) notStored(err error) error {
	return &storageError{temporary("message not stored in "+d.folder.name, err)}
}

// fill writes the message.
func (d *delivery) fill(ctx context.Context, r io.Reader) error {
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(*buf)
		d.size.Write((*buf)[:n])
		d.octets += int64(n)
		if err := writeAll(d.sys, d.fd, (*buf)[:n]); err != nil {
			return d.notStored(err)
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("maildir: message not taken: %w", err)
		}
	}
}

// finish makes the content durable.
func (d *delivery) finish() error {
	err := d.sys.fsync(d.fd)
	closeErr := d.sys.close(d.fd)
	d.fd = -1
	if err == nil {
		err = closeErr
	}
	if err != nil {
		return d.notStored(err)
	}
	return nil
}
