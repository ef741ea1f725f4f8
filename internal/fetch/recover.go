package fetch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// opened is a delivery whose end is not known.
type opened struct {
	journal.Intent
	failure journal.Failure // of the target with the message
}

// recover finds out how far deliveries came whose end an earlier run did not
// note, and ends them. What is not known yet is looked at again in the next
// run; until then the target must not get those messages. Those at which a
// connection ended come last.
func (r *run) recover(ctx context.Context) {
	if r.opts.DryRun {
		return
	}
	var open []opened
	r.journal.View(func(e *journal.Entry) {
		for _, in := range e.Intents {
			open = append(open, opened{in, e.Failure(in.Target)})
		}
	})
	open = r.dropped(open)
	slices.SortFunc(open, func(a, b opened) int {
		return cmp.Or(a.failure.Count-b.failure.Count, cmp.Compare(a.UID, b.UID), a.Index-b.Index)
	})
	for i, t := range r.Targets {
		t.Sweep(func(id string) bool {
			return slices.ContainsFunc(open, func(in opened) bool { return in.ID == id })
		})
		mine := slices.DeleteFunc(slices.Clone(open), func(in opened) bool { return in.Target != r.names[i] })
		if len(mine) == 0 {
			continue
		}
		if err := connect(ctx, t); err != nil {
			r.fall(i, err)
			continue
		}
		for _, in := range mine {
			if err := r.settle(ctx, t, in); err != nil {
				r.fall(i, err)
				break
			}
		}
	}
}

// dropped ends deliveries to targets that the account has no more, whose
// messages nobody would ever ask for again, or let go, and gives the others.
func (r *run) dropped(open []opened) (left []opened) {
	var records []journal.Record
	for _, in := range open {
		if slices.Contains(r.names, in.Target) {
			left = append(left, in)
		} else {
			records = append(records, journal.Undone{Key: in.Key, Target: in.Target})
		}
	}
	r.write(records...) // where that fails the next write does too
	return left
}

// connect tries a target that is behind a connection.
func connect(ctx context.Context, t target.Target) error {
	if c, ok := t.(target.Connecter); ok {
		return c.Connect(ctx)
	}
	return nil
}

// settle ends one delivery. Where it broke before it is not begun anew here:
// the message comes again, behind all others.
func (r *run) settle(ctx context.Context, t target.Target, in opened) error {
	turn := r.turn(in.failure)
	if turn == later {
		return nil
	}
	m := &target.Message{ID: in.ID, Octets: in.Octets, Sum: target.ParseSum(in.Sum)}
	outcome, err := t.Settle(ctx, m, in.Note)
	if err == nil && outcome == target.Staged && in.failure.Count == 0 {
		if err = t.Deliver(ctx, []*target.Message{m})[0]; err == nil {
			outcome = target.Delivered
		}
	}
	var refusal *target.Refusal
	var record journal.Record
	down := err
	switch {
	case errors.As(err, &refusal):
		record, down = r.failure(in.Key, in.Target, refusal.Reason, !refusal.Permanent), nil
	case err == nil && outcome == target.Delivered:
		record = journal.Done{Key: in.Key, Target: in.Target, Fact: in.Fact, At: time.Now()}
	case err != nil && (ctx.Err() != nil || !breaks(t)):
		return err
	case err != nil && turn != never:
		return errors.Join(err, r.write(journal.Broken{Failed: r.failure(in.Key, in.Target, err.Error(), target.Replied(err))}))
	default: // nothing of it is there, or it is given up
		record = journal.Undone{Key: in.Key, Target: in.Target}
	}
	if err := r.journal.Write(record); err != nil {
		return err
	}
	t.Discard(m.ID)
	return down
}

// breaks tells of a target that it is behind a connection, which a message may
// end.
func breaks(t target.Target) bool {
	_, ok := t.(target.Connecter)
	return ok
}
