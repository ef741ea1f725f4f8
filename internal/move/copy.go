package move

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// keptAside is how long messages can be brought back that were removed only
// because somebody had removed them on the other side.
const keptAside = 30 * 24 * time.Hour

// setAside removes messages of which there is no other copy: nobody has asked
// for that here, and a backup that was restored looks the same.
func (d *drop) setAside(ctx context.Context, marked []int) error {
	if len(marked) == 0 {
		return nil
	}
	return d.SetAside(ctx, marked, keptAside)
}

// mirror removes at the destination what its user has removed from the source.
func (r *run) mirror(ctx context.Context, p *plan) error {
	if len(p.gone) == 0 {
		return nil
	}
	if err := r.dst.setAside(ctx, p.gone); err != nil {
		return fmt.Errorf("messages that are gone from the source were not removed at the destination: %w", err)
	}
	r.result.Gone += len(p.gone)
	return r.dst.relist(ctx)
}

// copy brings messages over. The maildrop is listed anew behind it, as a login
// would.
func (r *run) copy(ctx context.Context, p *plan) error {
	r.result.There += len(p.there) + len(p.found)
	if len(p.copy)+len(p.found) == 0 {
		return nil
	}
	r.watch.stage("copying")
	r.watch.expect(r.octets(p.copy))
	// What its user has removed at the destination is not named: an import brings
	// back at once what of its list is kept aside.
	var list []maildrop.Message
	at := make(map[int]int, len(r.src.list))
	for i := range r.src.list {
		if _, dropped := slices.BinarySearch(p.dropped, i); !dropped {
			at[i] = len(list)
			list = append(list, r.src.list[i])
		}
	}
	in, err := r.dst.Import(ctx, list)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	err = r.each(ctx, p.copy, func(ctx context.Context, i int) error {
		from, err := r.src.read(ctx, i, r.watch)
		if err != nil {
			return err
		}
		defer from.Close()
		err = in.Put(ctx, at[i], from)
		if from.fault != nil {
			return &sourceError{from.fault}
		}
		if err != nil {
			return fmt.Errorf("destination: %w", err)
		}
		return nil
	}, func() { r.result.Copied++ })
	if err != nil {
		return err
	}
	return r.dst.relist(ctx)
}

// compare reads messages on both sides: those that were copied now, or that
// nobody compared yet; where the source will be emptied, all.
func (r *run) compare(ctx context.Context, p *plan) error {
	r.watch.stage("comparing")
	todo := slices.Concat(p.copy, p.found)
	if r.opts.Empty {
		todo = append(todo, p.there...)
	}
	slices.Sort(todo)
	failed := make(map[string]bool)
	for _, f := range r.result.Failed {
		failed[f.UID] = true
	}
	todo = slices.DeleteFunc(todo, func(i int) bool { return failed[r.src.list[i].UID] })
	r.watch.expect(2 * r.octets(todo))
	return r.each(ctx, todo, r.same, func() { r.result.Compared++ })
}

// same compares message i of the source with its copy.
func (r *run) same(ctx context.Context, i int) error {
	uid := r.src.list[i].UID
	at, found := r.dst.at[uid]
	if !found {
		return errors.New("the destination does not list it")
	}
	if got, want := r.dst.list[at].Size, r.src.list[i].Size; got != want {
		return &sourceError{&otherError{fmt.Errorf("it has %d octets at the destination, and %d in the source", got, want)}}
	}
	a, err := r.src.read(ctx, i, r.watch)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := r.dst.read(ctx, at, r.watch)
	if err != nil {
		return fmt.Errorf("destination: %w", unwrapSource(err))
	}
	defer b.Close()
	differ, err := compareWire(a, b)
	switch {
	case a.fault != nil:
		return &sourceError{a.fault}
	case b.fault != nil:
		return &sourceError{&otherError{fmt.Errorf("the copy: %w", b.fault)}}
	case err != nil:
		return err
	case differ >= 0:
		return &sourceError{&otherError{fmt.Errorf("the copy differs from octet %d on: move it away at the destination, and run this again", differ+1)}}
	}
	return nil
}

// sourceError is what is wrong with one message: the others may be well.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// otherError says that what the destination has is another message, or damaged,
// and has to be moved away there.
type otherError struct{ error }

func (e *otherError) Unwrap() error { return e.error }

func unwrapSource(err error) error {
	if e := (*sourceError)(nil); errors.As(err, &e) {
		return e.error
	}
	return err
}

// each does something with messages of the source, some at a time. What is
// wrong with a message alone is noted; any other error ends it.
func (r *run) each(ctx context.Context, todo []int, do func(ctx context.Context, i int) error, done func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var first error
	var failed []Failure
	var all sync.WaitGroup
	room := make(chan struct{}, r.opts.AtOnce)
	for _, i := range todo {
		room <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-room }()
			err := do(ctx, i)
			mu.Lock()
			defer mu.Unlock()
			var own *sourceError
			switch {
			case err == nil:
				done()
			case errors.As(err, &own) && ctx.Err() == nil:
				failed = append(failed, Failure{r.src.list[i].UID, own.error})
			case first == nil:
				first = fmt.Errorf("message %s: %w", r.src.list[i].UID, err)
				cancel()
			}
		})
	}
	all.Wait()
	slices.SortFunc(failed, func(a, b Failure) int { return r.src.at[a.UID] - r.src.at[b.UID] })
	r.result.Failed = append(r.result.Failed, failed...)
	if first == nil {
		first = ctx.Err()
	}
	return first
}

func (r *run) octets(which []int) (sum int64) {
	for _, i := range which {
		sum += r.src.list[i].Size
	}
	return sum
}

// fail notes what is there, where some messages are not. Where the destination
// has others in their places, and nothing else is left to be done, somebody is
// to remove these, and not to keep them.
func (r *run) fail(ctx context.Context, p *plan) error {
	s := r.partly(p)
	if err := r.writeState(ctx, s); err != nil {
		return err
	}
	others := 0
	for _, f := range r.result.Failed {
		if other := (*otherError)(nil); errors.As(f.Err, &other) {
			others++
		}
	}
	if others > 0 && others == len(s.Unsure) && len(s.Planned) == 0 {
		if err := r.dst.Settle(ctx, true); err != nil {
			return fmt.Errorf("destination: %w", err)
		}
	}
	return ErrFailed
}

// finish notes that all is there, and empties the source where it should.
func (r *run) finish(ctx context.Context, p *plan) error {
	all := make([]int, len(r.src.list))
	for i := range all {
		all[i] = i
	}
	s := state{ID: r.state.ID, Emptying: r.opts.Empty, There: append(r.uids(all), p.held...)}
	if err := r.writeState(ctx, s); err != nil {
		return err
	}
	if err := r.dst.Settle(ctx, true); err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	if !r.opts.Empty {
		return nil
	}
	r.watch.stage("emptying")
	if err := r.src.setAside(ctx, p.dropped); err != nil {
		return fmt.Errorf("source not emptied: %w", err)
	}
	r.result.Dropped += len(p.dropped)
	safe := slices.DeleteFunc(all, func(i int) bool { _, found := slices.BinarySearch(p.dropped, i); return found })
	if err := r.src.Remove(ctx, safe); err != nil {
		r.lookWhatIsLeft(ctx)
		return fmt.Errorf("source not emptied: %w", err)
	}
	r.result.Removed += len(safe)
	return r.writeState(ctx, state{})
}

// lookWhatIsLeft counts what was removed where that was broken off.
func (r *run) lookWhatIsLeft(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	before := len(r.src.list)
	if err := r.src.relist(ctx); err == nil {
		r.result.Left = len(r.src.list)
		r.result.Removed += max(0, before-r.result.Left)
	}
}

// read opens a message.
func (d *drop) read(ctx context.Context, i int, watch *Watch) (*message, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.Open(ctx, i)
	if errors.Is(err, maildrop.ErrGone) || errors.Is(err, maildrop.ErrPermanent) {
		err = &sourceError{err}
	}
	if err != nil {
		return nil, err
	}
	return &message{ReadCloser: r, want: d.list[i].Size, watch: watch}, nil
}
