package fetch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/internal/fetch/target"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// order is a message to retrieve.
type order struct {
	item
	to   []int // the targets that lack it
	id   string
	cuts int  // how often the session broke while it came, or targets failed with it
	over bool // it turned out larger than it may be
}

// headerOnly tells that of the message only the header is wanted.
func (r *run) headerOnly(o order) bool { return r.MaxMessage > 0 && (o.over || o.size > r.MaxMessage) }

// orders gives the messages to retrieve, and counts those that are left out.
func (r *run) orders(items []item) (all []order) {
	for _, it := range items {
		o, why := r.order(it)
		switch {
		case why != "":
			r.report.Skipped++
		case len(o.to) > 0:
			all = append(all, o)
		}
	}
	slices.SortStableFunc(all, func(a, b order) int { return a.cuts - b.cuts })
	return all
}

// order tells which targets lack a message, and why those do not get it.
func (r *run) order(it item) (o order, why string) {
	o.item = it
	if r.MaxMessage > 0 && it.size > r.MaxMessage && !r.HeaderOnly {
		return o, "it is too large"
	}
	generation := 0
	r.journal.Look(it.Key, func(e *journal.Entry) {
		if e == nil {
			e = new(journal.Entry)
		}
		generation, o.cuts = e.Generation, e.Failed(connection)
		for i, name := range r.names {
			begun := slices.ContainsFunc(e.Intents, func(in journal.Intent) bool { return in.Target == name })
			f := e.Failure(name)
			if e.Done(name) || begun && f.Count == 0 {
				continue
			}
			turn := r.turn(f)
			r.leftOut(it, f, turn)
			switch {
			case begun:
			case turn == never:
				why = whyGivenUp
			case turn == later:
				why = cmp.Or(why, whyWaiting)
			case r.down[i] == nil:
				o.to = append(o.to, i)
				o.cuts += f.Count
			}
		}
		if len(o.to) > 0 {
			why = "" // others want it
		}
		if f := e.Failure(""); len(o.to) > 0 && r.turn(f) != now {
			why = whyServer
			r.leftOut(it, f, r.turn(f))
		}
		if f := e.Failure(oversize); f.Count > 0 && !r.opts.Retry && len(o.to) > 0 {
			o.over = true
			if !r.HeaderOnly || r.MaxMessage == 0 || f.Count >= tries {
				why = whySize
				r.leftOut(it, f, never)
			}
		}
	})
	o.id = id(r.journal.Key(), r.Name, it.Key, generation, it.size)
	return o, why
}

// A chunk is what is asked for at once. Between two of them the server hears
// of the client while targets are slow; many messages are under way within one.
const (
	chunkOctets   = 64 << 20
	chunkMessages = 4096
)

// The window of messages under way: what a way of 1 Gbit/s holds whose round
// trip takes 100 ms, and as many commands as that is messages of usual size. A
// slower way holds less, and the server waits.
const (
	windowOctets   = 16 << 20
	windowMessages = 1024
)

// retrieve retrieves what is lacking, has it delivered, and gives how many
// messages came that not all targets have. With an error the session must be
// broken off.
func (r *run) retrieve(ctx context.Context, items []item) (unsafe int, err error) {
	all, err := r.reach(ctx, r.orders(items))
	if err != nil {
		return 0, err
	}
	r.tell(Event{Kind: Planned, Count: len(all)})
	if len(all) == 0 {
		return 0, nil
	}
	r.opts.Watch.begin(all)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := r.newDelivery(ctx, cancel)
	err = r.chunks(ctx, d, all)
	r.opts.Watch.stage("delivering")
	if err == nil {
		err = r.wait(ctx, d.finish())
	}
	<-d.finish() // what came whole is delivered, though the session may have broken
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	r.came = d.came
	for _, it := range d.came {
		if r.everywhere(it.Key) {
			r.report.Delivered++
		} else {
			unsafe++
		}
	}
	return unsafe, err
}

// everywhere tells whether all targets have a message.
func (r *run) everywhere(k journal.Key) (all bool) {
	r.journal.Look(k, func(e *journal.Entry) {
		all = e != nil && !slices.ContainsFunc(r.names, func(name string) bool { return !e.Done(name) })
	})
	return all
}

// chunks retrieves messages, chunk by chunk.
func (r *run) chunks(ctx context.Context, d *delivery, all []order) error {
	r.opts.Watch.stage("retrieving")
	for {
		if all = wanted(all, func(i int) bool { return d.workers[i].isDown() }); len(all) == 0 {
			return nil
		}
		n, octets := 0, int64(0)
		for n < min(len(all), chunkMessages) && (n == 0 || octets+max(0, all[n].size) <= chunkOctets) {
			octets += max(0, all[n].size)
			n++
		}
		if err := r.chunk(ctx, d, all[:n]); err != nil {
			return err
		}
		all = all[n:]
		if err := r.wait(ctx, d.drained()); err != nil {
			return err
		}
	}
}

// chunk retrieves messages, sent for ahead where the server takes that.
func (r *run) chunk(ctx context.Context, d *delivery, orders []order) error {
	opts := pop3client.RetrieveOptions{Listings: []pop3.Listing{}, UIDs: []pop3.UID{}, Window: windowMessages, WindowOctets: windowOctets}
	at := make(map[int]*order, len(orders)) // by number
	for i, o := range orders {
		if r.headerOnly(o) {
			if err := r.top(ctx, d, o); err != nil {
				return err
			}
			continue
		}
		at[o.number] = &orders[i]
		opts.Numbers = append(opts.Numbers, o.number)
		opts.Listings = append(opts.Listings, pop3.Listing{Number: o.number, Octets: max(0, o.size)})
	}
	if len(opts.Numbers) == 0 {
		return nil
	}
	for m, err := range r.client.RetrieveAll(ctx, opts) {
		var refused *pop3client.MessageError
		switch {
		case errors.As(err, &refused):
			err = r.failed(*at[refused.Number], "", refused)
		case err == nil:
			if err = d.take(*at[m.Number], m, false); err != nil {
				err = r.cutIn(ctx, *at[m.Number], err)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// connection is what a message fails at, in the journal, when the session breaks
// while it comes. It is then asked for behind all others, so that a message at
// which a server always breaks off keeps none of them.
const connection = "connection"

// cutIn notes a message in which the session broke, and gives the error.
func (r *run) cutIn(ctx context.Context, o order, err error) error {
	if errors.Is(err, errOversize) {
		return errors.Join(err, r.failed(o, oversize, err))
	}
	if ctx.Err() == nil {
		r.write(journal.Failed{Key: o.Key, Target: connection, Reason: err.Error(), At: time.Now()}) // the session's own error is what is told
	}
	return err
}

// top retrieves the header of a message that is too large.
func (r *run) top(ctx context.Context, d *delivery, o order) error {
	m, err := r.client.Top(ctx, o.number, 0)
	if refusal(err) {
		return r.failed(o, "", err)
	} else if err != nil {
		return err
	}
	defer m.Close()
	if err := d.take(o, m, true); errors.Is(err, errOversize) {
		return r.cutIn(ctx, o, err)
	} else if err != nil {
		return err
	}
	return nil
}

// failed notes that the server does not give a message as it should.
func (r *run) failed(o order, what string, why error) error {
	var refused *pop3.Error
	return r.write(r.failure(o.Key, what, why.Error(), errors.As(why, &refused) && refused.Temporary()))
}

// note tells of a message that is not delivered.
func (r *run) note(k journal.Key, targetName, reason string, count int, givenUp bool) {
	if targetName == oversize {
		targetName = "" // it is the server's doing
	}
	r.telling.Lock()
	r.report.Failed = append(r.report.Failed, FailedMessage{UID: k.UID, Target: targetName, Reason: reason, Count: count, GivenUp: givenUp})
	r.telling.Unlock()
	r.tell(Event{Kind: Failed, UID: k.UID, Target: targetName, Text: reason})
}

// refusal tells a negative reply from what breaks a session.
func refusal(err error) bool {
	var refused *pop3.Error
	return errors.As(err, &refused)
}

// awake is how often the server hears of a client that waits for its targets:
// some cut after a minute.
const awake = 20 * time.Second

// wait waits until a channel is closed, and keeps the session alive.
func (r *run) wait(ctx context.Context, done <-chan struct{}) error {
	tick := time.NewTicker(awake)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return context.Cause(ctx)
		case <-tick.C:
			if err := r.client.Noop(ctx); err != nil && !refusal(err) {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take streams a message into the staging of its targets. An error is of the
// session: what a target does is its own matter.
func (d *delivery) take(o order, m *pop3client.Message, part bool) error {
	d.came = append(d.came, arrival{item: o.item})
	d.header.reset()
	staged := d.stage(o)
	d.lines.begin(&tee{&d.header, d.run.opts.Watch, staged})
	_, err := m.WriteTo(&capped{&d.lines, d.run.most(o, part)})
	if err != nil {
		for _, s := range staged {
			s.stage.Abort()
		}
		return err
	}
	d.lines.end()
	if !part {
		d.run.sized(o, m)
	}
	d.came[len(d.came)-1].octets = m.Octets()
	d.run.report.Retrieved++
	d.run.report.Octets += m.Octets()
	d.run.opts.Watch.retrieved()
	d.hand(o, staged, journal.Fact{Size: o.size, Hash: d.header.hash(), Part: part})
	return nil
}

// staging is a message on its way into one target.
type staging struct {
	worker *worker
	stage  *target.Stage
}

// tee writes to all that take a message. A target that fails does not stop the
// others.
type tee struct {
	header  *headerOf
	watch   *Watch
	targets []staging
}

// Write implements io.Writer. It never fails.
func (t *tee) Write(p []byte) (int, error) {
	t.header.Write(p)
	for _, s := range t.targets {
		s.stage.Write(p) // Finish gives the error
	}
	t.watch.read(len(p))
	return len(p), nil
}
