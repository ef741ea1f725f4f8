package fetch

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// leave has the server delete what may go, and ends the session.
func (r *run) leave(ctx context.Context, items []item) error {
	out, old := r.doomed(items)
	if brake := cmp.Or(r.BrakeDeletions, defaultBrake); old > brake && !r.opts.Delete {
		return errors.Join(lasting("%d messages that earlier runs retrieved would be deleted on the server, which is more than %d: nothing was deleted. "+
			"See `poplin fetch --dry-run`; if that is what you want, run once with --delete", old, brake), trouble(r.client.Quit(ctx)))
	}
	r.opts.Watch.stage("ending")
	out, err := r.certain(ctx, out)
	if err != nil {
		return err
	}
	marked, refused, err := r.mark(ctx, out)
	if err != nil {
		return err
	}
	if err := r.client.Quit(ctx); err != nil {
		// Without an answer the next run sees what is gone, and marks the rest
		// again. No message comes twice.
		return errors.Join(refused, trouble(err))
	}
	if len(marked) == 0 {
		return refused
	}
	records := make([]journal.Record, len(marked))
	now := time.Now()
	for i, it := range marked {
		records[i] = journal.Gone{Key: it.Key, At: now}
	}
	r.report.Deleted += len(marked)
	r.tell(Event{Kind: Deleted, Count: len(marked)})
	return errors.Join(refused, r.write(records...))
}

// doomed gives the messages that may go, and how many of them earlier runs
// retrieved, and had no one delete.
func (r *run) doomed(items []item) (out []item, old int) {
	now := time.Now()
	all := make([]candidate, len(items))
	asked := make([]bool, len(items))
	for i, it := range items {
		all[i].size = it.size
		r.journal.Look(it.Key, func(e *journal.Entry) {
			if e == nil || e.At.IsZero() || e.Part || len(e.Intents) > 0 {
				return
			}
			all[i].safe, all[i].at = true, e.At
			for _, name := range r.names {
				all[i].safe = all[i].safe && e.Done(name)
			}
			asked[i] = e.Marked
		})
	}
	for _, i := range r.Keep.doomed(all, now) {
		out = append(out, items[i])
		if !asked[i] && all[i].at.Before(r.begun) {
			old++
		}
	}
	return out, old
}

// certain leaves out what cannot be shown to be the message that an earlier run
// retrieved: some servers give a unique-id to another message, which must not
// be deleted for it. The header decides; where the server does not show it, the
// size. What is another message comes in the next run.
func (r *run) certain(ctx context.Context, out []item) ([]item, error) {
	var sure []item
	var other []journal.Record
	hash := make(map[int]string)
	opts := pop3client.RetrieveOptions{Listings: []pop3.Listing{}, UIDs: []pop3.UID{}}
	known := make(map[int]journal.Fact) // of messages that are looked at
	for _, it := range out {
		r.journal.Look(it.Key, func(e *journal.Entry) {
			if e.Hash != "" && e.At.Before(r.begun) {
				known[it.number] = e.Fact
				opts.Numbers = append(opts.Numbers, it.number)
			}
		})
	}
	if len(opts.Numbers) > 0 {
		for m, err := range r.client.HeaderAll(ctx, opts) {
			var refused *pop3client.MessageError
			if errors.As(err, &refused) {
				continue
			} else if err != nil {
				return nil, err
			}
			if hash[m.Number], err = hashOf(m); err != nil {
				return nil, err
			}
		}
	}
	for _, it := range out {
		fact, looked := known[it.number]
		got := hash[it.number]
		if looked && got != "" && got != fact.Hash {
			same, err := r.same(ctx, it, fact.Hash)
			if err != nil {
				return nil, err
			}
			if same {
				got = fact.Hash
			}
		}
		switch {
		case !looked || got == fact.Hash || got == "" && fact.Size > 0 && fact.Size == it.size:
			sure = append(sure, it)
		case got != "":
			other = append(other, journal.Renewed{Key: it.Key})
		}
	}
	return sure, r.write(other...)
}

// mark marks messages as deleted, and gives those that are. Refused says why
// others are not. With err the session is broken.
func (r *run) mark(ctx context.Context, out []item) (marked []item, refused, err error) {
	if len(out) == 0 {
		return nil, nil, nil
	}
	records := make([]journal.Record, len(out))
	numbers := make([]int, len(out))
	for i, it := range out {
		records[i], numbers[i] = journal.Marked{Key: it.Key}, it.number
	}
	if err := r.write(records...); err != nil {
		return nil, nil, err
	}
	stay := make(map[int]bool)
	err = r.client.Dele(ctx, numbers...)
	for _, e := range parts(err) {
		var m *pop3client.MessageError
		if !errors.As(e, &m) {
			return nil, nil, trouble(err)
		}
		stay[m.Number] = true
	}
	for _, it := range out {
		if !stay[it.number] {
			marked = append(marked, it)
		}
	}
	if len(stay) > 0 {
		refused = lasting("the server refuses to delete %d messages: %w", len(stay), parts(err)[0])
	}
	return marked, refused, nil
}

// parts gives the errors that were joined.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// plan says what the session would do, and does nothing.
func (r *run) plan(items []item) {
	orders := make(map[int]order)
	steps := make([]Step, len(items))
	for i, it := range items {
		o, why := r.order(it)
		orders[it.number] = o
		steps[i] = Step{Number: it.number, UID: it.UID, Octets: it.size, Retrieve: len(o.to) > 0 && why == "", Why: why}
	}
	// What is retrieved is safe then.
	all := make([]candidate, len(items))
	for i, it := range items {
		all[i].size = it.size
		r.journal.Look(it.Key, func(e *journal.Entry) {
			all[i].safe, all[i].at = steps[i].Retrieve && !r.headerOnly(orders[it.number]), time.Now()
			if e != nil && !e.At.IsZero() && !steps[i].Retrieve {
				all[i].safe, all[i].at = !e.Part && steps[i].Why == "", e.At
			}
		})
	}
	for _, i := range r.Keep.doomed(all, time.Now()) {
		steps[i].Delete = true
	}
	r.report.Plan = steps
}
