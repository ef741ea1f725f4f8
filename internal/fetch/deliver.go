package fetch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// delivery is what goes on behind the retrieval of a session: a worker for each
// target, which takes messages as fast as it can, many at once.
type delivery struct {
	run     *run
	cancel  context.CancelCauseFunc
	workers []*worker // by target
	ended   chan struct{}
	end     sync.Once

	came   []arrival // the messages that were retrieved, or in part
	header headerOf
	lines  lines

	mu      sync.Mutex
	missing map[journal.Key]int // targets that do not have a message yet
	waiting int64               // octets that are staged and not delivered
	idle    chan struct{}       // closed when little of that is left
}

// arrival is a message that came.
type arrival struct {
	item
	octets int64 // 0 where it was broken off
}

// worker delivers to one target.
type worker struct {
	d     *delivery
	index int // of the target
	queue chan parcel
	held  *parcel // from the queue, for the next batch
}

// parcel is a message that is staged.
type parcel struct {
	order
	message *target.Message
	fact    journal.Fact
}

// batchOctets bounds what is made durable at once.
const batchOctets = 16 << 20

// newDelivery starts the workers. They call cancel where the run cannot go on.
func (r *run) newDelivery(ctx context.Context, cancel context.CancelCauseFunc) *delivery {
	d := &delivery{run: r, cancel: cancel, ended: make(chan struct{}), missing: make(map[journal.Key]int)}
	var work sync.WaitGroup
	for i := range r.Targets {
		w := &worker{d: d, index: i, queue: make(chan parcel, chunkMessages)}
		d.workers = append(d.workers, w)
		work.Go(func() { w.run(ctx) })
	}
	go func() {
		work.Wait()
		close(d.ended)
	}()
	return d
}

// finish lets the workers end behind what they have, and gives what is closed
// then.
func (d *delivery) finish() <-chan struct{} {
	d.end.Do(func() {
		for _, w := range d.workers {
			close(w.queue)
		}
	})
	return d.ended
}

// backlog is how much may be staged when the next chunk begins.
const backlog = 32 << 20

// drained gives what is closed when little is staged.
func (d *delivery) drained() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	idle := make(chan struct{})
	d.idle = idle
	d.release()
	return idle
}

// release lets go whoever waits for little to be staged. The caller holds mu.
func (d *delivery) release() {
	if d.idle != nil && d.waiting <= backlog {
		close(d.idle)
		d.idle = nil
	}
}

// stage opens the staging of the targets that lack a message.
func (d *delivery) stage(o order) (all []staging) {
	for _, i := range o.to {
		if d.workers[i].isDown() {
			continue
		}
		s, err := d.run.Targets[i].Stage(o.id)
		if err != nil {
			d.workers[i].fall(err)
			continue
		}
		all = append(all, staging{d.workers[i], s})
	}
	return all
}

// hand gives a message that came whole to the workers.
func (d *delivery) hand(o order, staged []staging, fact journal.Fact) {
	d.mu.Lock()
	d.missing[o.Key] = len(o.to)
	d.mu.Unlock()
	for _, s := range staged {
		m, err := s.stage.Finish(o.id)
		if err != nil {
			s.worker.fall(err)
			continue
		}
		d.mu.Lock()
		d.waiting += m.Octets
		d.mu.Unlock()
		s.worker.queue <- parcel{o, m, fact}
	}
}

// arrived notes that a target has a message.
func (d *delivery) arrived(k journal.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.missing[k]--; d.missing[k] == 0 {
		delete(d.missing, k)
		d.run.opts.Watch.safe()
	}
}

// fall notes that the target takes nothing more.
func (w *worker) fall(err error) {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if w.d.run.down[w.index] == nil {
		w.d.run.fall(w.index, err)
	}
}

func (w *worker) isDown() bool {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	return w.d.run.down[w.index] != nil
}

// run delivers until the queue is closed. What the target cannot take is taken
// out of its staging: it comes again in another run.
func (w *worker) run(ctx context.Context) {
	for {
		batch, octets := w.next()
		if len(batch) == 0 {
			return
		}
		if ctx.Err() != nil || w.isDown() {
			for _, p := range batch {
				w.target().Discard(p.message.ID)
			}
		} else {
			w.deliver(ctx, batch)
		}
		w.d.mu.Lock()
		w.d.waiting -= octets
		w.d.release()
		w.d.mu.Unlock()
	}
}

// next takes a batch from the queue; none when that is closed. A message that
// failed before goes alone, so that it has no other fail.
func (w *worker) next() (batch []parcel, octets int64) {
	take := func(p parcel) {
		batch, octets = append(batch, p), octets+p.message.Octets
	}
	if w.held != nil {
		take(*w.held)
		w.held = nil
	} else if p, open := <-w.queue; open {
		take(p)
	}
	for len(batch) > 0 && batch[0].cuts == 0 && len(batch) < w.target().Batch() && octets < batchOctets {
		select {
		case p, open := <-w.queue:
			if !open {
				return batch, octets
			}
			if p.cuts > 0 {
				w.held = &p
				return batch, octets
			}
			take(p)
		default:
			return batch, octets
		}
	}
	return batch, octets
}

func (w *worker) target() target.Target { return w.d.run.Targets[w.index] }
func (w *worker) name() string          { return w.d.run.names[w.index] }

// write writes to the journal. Without it nothing can go on.
func (w *worker) write(records []journal.Record) bool {
	if err := w.d.run.write(records...); err != nil {
		w.d.cancel(err)
		return false
	}
	return true
}

// deliver brings a batch into the target, in the order that package target
// prescribes.
func (w *worker) deliver(ctx context.Context, batch []parcel) {
	t := w.target()
	if err := connect(ctx, t); err != nil { // which is no fault of the messages
		if ctx.Err() == nil {
			w.fall(err)
		}
		for _, p := range batch {
			t.Discard(p.message.ID)
		}
		return
	}
	messages := make([]*target.Message, len(batch))
	for i, p := range batch {
		messages[i] = p.message
	}
	notes, errs := t.Prepare(ctx, messages)
	var records []journal.Record
	var ready []parcel
	messages = messages[:0]
	for i, p := range batch {
		if errs[i] != nil {
			t.Discard(p.message.ID)
			records = w.refused(p, errs[i], records)
			continue
		}
		ready, messages = append(ready, p), append(messages, p.message)
		records = append(records, journal.Intent{Key: p.Key, Target: w.name(), ID: p.message.ID, Octets: p.message.Octets,
			Sum: p.message.Sum.String(), Note: notes[i], Fact: p.fact})
	}
	if !w.write(records) || len(ready) == 0 {
		return
	}
	records = records[:0]
	now := time.Now()
	errs = t.Deliver(ctx, messages)
	for i, p := range ready {
		if errs[i] == nil {
			records = append(records, journal.Done{Key: p.Key, Target: w.name(), Fact: p.fact, At: now})
			continue
		}
		records = w.refused(p, errs[i], records)
		if !isRefusal(errs[i]) && ctx.Err() == nil && breaks(t) {
			records = append(records, w.broken(p, errs[i], len(ready) == 1))
		}
	}
	if !w.write(records) {
		return
	}
	for i, p := range ready {
		if errs[i] == nil {
			t.Discard(p.message.ID)
			w.d.arrived(p.Key)
			w.d.run.tell(Event{Kind: Delivered, UID: p.UID, Octets: p.message.Octets, Target: w.name()})
		} else if isRefusal(errs[i]) {
			t.Discard(p.message.ID)
		}
	}
}

// refused deals with a message that was not taken. Where the target itself
// fails, how far the delivery came is found out in the next run.
func (w *worker) refused(p parcel, err error, records []journal.Record) []journal.Record {
	if errors.Is(err, context.Canceled) {
		return records // nothing is wrong with the target
	}
	var refusal *target.Refusal
	if !errors.As(err, &refusal) {
		w.fall(err)
		return records
	}
	return append(records, w.d.run.failure(p.Key, w.name(), err.Error(), !refusal.Permanent))
}

// broken makes the record of a message at which the connection to the target
// ended. One among many may be blameless: it is told of when it had it alone.
func (w *worker) broken(p parcel, err error, alone bool) journal.Record {
	reason, passing := err.Error(), target.Replied(err)
	if alone {
		return journal.Broken{Failed: w.d.run.failure(p.Key, w.name(), reason, passing)}
	}
	return journal.Broken{Failed: journal.Failed{Key: p.Key, Target: w.name(), Reason: reason, At: time.Now(), Passing: passing}}
}

func isRefusal(err error) bool {
	var r *target.Refusal
	return errors.As(err, &r)
}
