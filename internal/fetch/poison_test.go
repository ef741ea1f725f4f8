package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// cutTarget is a target behind a connection that ends at messages for which
// breaks gives an error; those behind it in the batch have the same.
type cutTarget struct {
	target.Target
	batch   int
	away    error // why there is no connection
	breaks  func(m *target.Message) error
	tried   int // messages at which it broke
	settles error
}

func (c *cutTarget) Connect(context.Context) error { return c.away }
func (c *cutTarget) Batch() int                    { return c.batch }

func (c *cutTarget) Deliver(ctx context.Context, batch []*target.Message) []error {
	errs := make([]error, len(batch))
	for i, m := range batch {
		if err := c.breaks(m); err != nil {
			c.tried++
			for ; i < len(batch); i++ {
				errs[i] = err
			}
			return errs
		}
		errs[i] = c.Target.Deliver(ctx, []*target.Message{m})[0]
	}
	return errs
}

func (c *cutTarget) Settle(ctx context.Context, m *target.Message, note string) (target.Outcome, error) {
	if c.settles != nil && c.breaks(m) != nil {
		return target.Absent, c.settles
	}
	return c.Target.Settle(ctx, m, note)
}

func unbroken(*target.Message) error { return nil }

// TestPoison: a message at which the connection to a target always ends, or
// whose end of delivery never comes to be known, keeps none of the others, is
// tried five times, and named.
func TestPoison(t *testing.T) {
	for name, c := range map[string]*cutTarget{
		"one by one":  {batch: 1},
		"many":        {batch: 128},
		"cannot tell": {batch: 128, settles: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, "none")
			maildir := b.Targets[0]
			c.Target = maildir
			c.breaks = func(m *target.Message) error {
				if m.Octets == int64(len(letter(3))) {
					return io.EOF
				}
				return nil
			}
			b.Targets[0] = c
			mail := b.deliver(0, 7)
			named := false
			for range 2 * tries {
				r, err := b.run(Options{})
				if err != nil && !Temporary(err) {
					t.Fatal(err)
				}
				named = named || slices.ContainsFunc(r.Failed, func(f FailedMessage) bool { return f.GivenUp && f.Reason != "" })
			}
			b.sweepTmp()
			b.holds("mail", slices.Delete(slices.Clone(mail), 3, 4))
			if c.tried > tries || !named {
				t.Errorf("it was tried %d times, named: %v", c.tried, named)
			}
			if r := b.must(); len(r.GivenUp) != 1 || r.Retrieved != 0 || b.onServer() != 1 {
				t.Errorf("the report is %+v", r)
			}
			c.breaks = unbroken
			if r, err := b.run(Options{Retry: true}); err != nil || r.Deleted != 1 {
				t.Errorf("the report is %+v, error %v", r, err)
			}
			b.holds("mail", mail)
		})
	}
}

// TestAway: what is no message's fault counts against none: a target that is
// not there, and one that has a reason for ending connections.
func TestAway(t *testing.T) {
	b := newBed(t, "none")
	c := &cutTarget{Target: b.Targets[0], batch: 1, away: errors.New("nobody listens"), breaks: unbroken}
	b.Targets[0] = c
	mail := b.deliver(0, 3)
	for range 2 * tries {
		if r, err := b.run(Options{}); err == nil || len(r.Failed) != 0 || len(r.Down) != 1 || r.Retrieved != 0 {
			t.Fatalf("the report is %+v, error %v", r, err)
		}
	}
	c.away = nil
	c.breaks = func(*target.Message) error { return errors.New("the server says: 421 too many") }
	for range 2 * tries * len(mail) {
		r, err := b.run(Options{})
		if len(r.GivenUp) != 0 || err != nil && !Temporary(err) {
			t.Fatalf("the report is %+v, error %v", r, err)
		}
	}
	if c.tried != tries*len(mail) {
		t.Errorf("%d tries in a moment", c.tried)
	}
	if r, err := b.run(Options{}); err != nil || len(r.Waiting) != len(mail) {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	c.breaks = unbroken
	if r, err := b.run(Options{Retry: true}); err != nil || r.Deleted != 3 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	b.holds("mail", mail)
}

// fullTarget cannot stage anything.
type fullTarget struct{ target.Target }

func (f fullTarget) Stage(string) (*target.Stage, error) { return nil, errors.New("the disk is full") }

// TestNobodyWants: what no target can take is not retrieved on and on.
func TestNobodyWants(t *testing.T) {
	b := newBed(t, "none")
	b.Targets[0] = fullTarget{b.Targets[0]}
	const more = 20
	for i := range chunkMessages + more {
		if err := b.server.Memory.Add(b.server.User, fmt.Sprint(i), []byte("Subject: x\n\n")); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := b.run(Options{}); err == nil || r.Retrieved > chunkMessages || len(r.Down) != 1 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	// Another target gets its own.
	b = newBed(t, "none")
	mail := b.deliver(0, 3)
	b.addTarget("archive")
	b.Targets[0] = &cutTarget{Target: b.Targets[0], batch: 1, away: errors.New("nobody listens"), breaks: unbroken}
	if r, err := b.run(Options{}); err == nil || r.Retrieved != 3 || r.Deleted != 0 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	b.holds("archive", mail)
}
