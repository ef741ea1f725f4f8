// Package move brings maildrops from one store into another, with their
// unique-ids, their order and their dates. It knows no store: New takes two,
// whose maildrops are maildrop.Importers, and Mover.Run moves one maildrop.
//
// What a run does, with the session locks of both maildrops held:
//
//   - Messages that the destination lacks are copied, each durably.
//   - The copies are listed as a login would list them, and read again beside
//     the source, octet by octet, in the form in which RETR sends them.
//   - Notes of views are copied.
//   - Only then, and only where Options.Empty says so, are the messages removed
//     from the source; those that came meanwhile have their turn in the same
//     run, or stay for the next.
//
// So every message is in one of the places at any moment, and no listing has
// one twice. A note in the source says what an earlier run has brought over;
// with it, a run that follows one that was killed, or one that left the source
// as it was, knows which messages somebody has removed since, on which side.
// Before that is noted the destination is not settled, and keeps aside what
// its user removes: so that is known too.
package move

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// Options says how maildrops are moved. The zero value copies and removes
// nothing anywhere.
type Options struct {
	// Empty removes from the source what is safe at the destination.
	Empty bool

	// Live says that the source is the one that users see, and the destination
	// is not. Then what was brought over, and is gone from the source since,
	// goes from the destination too: its user has deleted it. When false it is
	// the other way round: what is gone from the destination is not brought
	// over a second time, and Empty removes it from the source.
	Live bool

	// Shared says that several names may be given one maildrop at the
	// destination. Then one to which another name's mail was moved is refused.
	Shared bool

	// DryRun only tells what there is to do.
	DryRun bool

	// Wait is how long a session that is open is waited for.
	Wait time.Duration

	// AtOnce is how many messages of a maildrop are copied, and compared, at
	// the same time. 0 means DefaultAtOnce.
	AtOnce int
}

// DefaultAtOnce is what Options.AtOnce means when it is 0: stores answer slowly,
// and take many at once.
const DefaultAtOnce = 8

const (
	look   = 250 * time.Millisecond // how often it is looked whether a session has ended
	rounds = 3                      // how often a run looks for mail that came meanwhile
)

// Mover moves maildrops. Several goroutines may use it.
type Mover struct {
	from, to maildrop.Store
	opts     Options
}

// New makes a Mover.
func New(from, to maildrop.Store, opts Options) *Mover {
	if opts.AtOnce <= 0 {
		opts.AtOnce = DefaultAtOnce
	}
	return &Mover{from, to, opts}
}

// Result is what came of one maildrop. Octets are in the form of the wire.
type Result struct {
	Messages int   // in the source, at first
	Octets   int64 // of these
	Copied   int   // or would be, in a dry run
	There    int   // at the destination before
	Compared int
	Removed  int // from the source
	Dropped  int // set aside in the source, as their user had removed them at the destination
	Gone     int // set aside at the destination, as their user had removed them from the source
	Left     int // in the source at last

	// Failed are messages that could not be brought over. Nothing is removed
	// from a source that has any.
	Failed []Failure
}

// Failure is why a message was not brought over.
type Failure struct {
	UID string
	Err error
}

// ErrFailed says that some messages were not brought over, which Result.Failed
// has.
var ErrFailed = errors.New("messages were not brought over: nothing was removed")

// ErrOthers says that the destination is that of another name: see
// Options.Shared.
var ErrOthers = errors.New("mail of another maildrop was moved there")

// Run moves the maildrop of that name, and tells by watch how it goes. The
// Result says what was done with an error too. The error wraps
// maildrop.ErrInUse where a session is open on either side.
func (m *Mover) Run(ctx context.Context, name string, watch *Watch) (Result, error) {
	if watch == nil {
		watch = new(Watch)
	}
	r := &run{Mover: m, name: name, watch: watch}
	err := r.open(ctx)
	defer r.close()
	if err == nil {
		err = r.all(ctx)
	}
	return r.result, err
}

// run is the work on one maildrop.
type run struct {
	*Mover
	name   string
	watch  *Watch
	src    *drop
	dst    *drop // nil in a dry run where there is none yet
	state  state
	noted  []byte // that note, as it is in the source
	result Result

	back      state // what was brought from the destination into the source once
	wasSource bool  // the destination has a note of that, or of another
}

// drop is an open maildrop. It opens one message at a time, as maildrops want
// it; what is open is read at the same time.
type drop struct {
	maildrop.Importer
	mu   sync.Mutex
	list []maildrop.Message
	at   map[string]int // by UID
}

func (d *drop) index() {
	d.list = d.Messages()
	d.at = make(map[string]int, len(d.list))
	for i := range d.list {
		d.at[d.list[i].UID] = i
	}
}

// relist is Relist.
func (d *drop) relist(ctx context.Context) error {
	if err := d.Relist(ctx); err != nil {
		return err
	}
	d.index()
	return nil
}

// open takes both locks, and lists both maildrops.
func (r *run) open(ctx context.Context) (err error) {
	r.watch.stage("waiting")
	if r.src, err = r.lock(ctx, r.from); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	r.dst, err = r.lock(ctx, r.to)
	if err != nil && r.opts.DryRun && isMissing(err) {
		return nil // it would be made, or asked for
	}
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	return nil
}

// lock opens a maildrop. Where a session has it, it is waited for.
func (r *run) lock(ctx context.Context, store maildrop.Store) (*drop, error) {
	for began := time.Now(); ; {
		d, err := r.tryLock(ctx, store)
		if !errors.Is(err, maildrop.ErrInUse) || time.Since(began) >= r.opts.Wait {
			return d, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(look):
		}
	}
}

func (r *run) tryLock(ctx context.Context, store maildrop.Store) (*drop, error) {
	m, err := store.Open(ctx, r.name)
	if err != nil {
		return nil, err
	}
	i, ok := m.(maildrop.Importer)
	if !ok {
		m.Close()
		return nil, fmt.Errorf("this store's maildrops cannot be moved: %w", maildrop.ErrPermanent)
	}
	d := &drop{Importer: i}
	if err := d.relist(ctx); err != nil { // some stores lock only now
		m.Close()
		return nil, err
	}
	return d, nil
}

func (r *run) close() {
	for _, d := range []*drop{r.src, r.dst} {
		if d != nil {
			d.Close()
		}
	}
}

// all does the work: again where mail came meanwhile.
func (r *run) all(ctx context.Context) error {
	r.result.Messages = len(r.src.list)
	for i := range r.src.list {
		r.result.Octets += r.src.list[i].Size
	}
	if err := r.readState(ctx); err != nil {
		return err
	}
	if r.opts.DryRun {
		p := r.plan()
		r.result.Copied, r.result.There, r.result.Gone, r.result.Dropped = len(p.copy), len(p.there)+len(p.found), len(p.gone), len(p.dropped)
		r.result.Left = len(r.src.list)
		return nil
	}
	for range rounds {
		if err := r.round(ctx); err != nil {
			return err
		}
		if err := r.src.relist(ctx); err != nil {
			return err
		}
		r.result.Left = len(r.src.list)
		if !r.opts.Empty || r.result.Left == 0 {
			break
		}
	}
	return nil
}

// round brings over what the source holds now.
func (r *run) round(ctx context.Context) error {
	p := r.plan()
	if len(r.src.list) == 0 && len(p.gone) == 0 && !r.state.exists() && !r.wasSource {
		if err := r.dst.Settle(ctx, true); err != nil {
			return fmt.Errorf("destination: %w", err)
		}
		return r.notes(ctx)
	}
	if err := r.begin(ctx, p); err != nil {
		return err
	}
	if err := r.mirror(ctx, p); err != nil {
		return err
	}
	if err := r.copy(ctx, p); err != nil {
		return err
	}
	if err := r.compare(ctx, p); err != nil {
		return err
	}
	if err := r.notes(ctx); err != nil {
		return err
	}
	if len(r.result.Failed) > 0 {
		return r.fail(ctx, p)
	}
	return r.finish(ctx, p)
}
