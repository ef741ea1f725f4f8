// Package view serves a maildrop as one login sees it: read-only, with deletes
// that only hide, with a window on recent mail, or with deletes that can be
// undone. Open is Store.Open under a maildrop.View.
//
// What is hidden from a device is noted in the maildrop, message by message,
// and durably before the device is told. So a message that a device does not
// see once never comes back to it, whatever clocks and settings do.
package view

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// Open opens the maildrop of that name as v says. Under the zero View that is
// store.Open and costs nothing more.
//
// The error is that of store.Open; or it wraps maildrop.ErrPermanent where
// the view needs what the store cannot do: maildrop.Notes for Keep and
// Recent, maildrop.Aside for Undo; or maildrop.ErrTemporary where what is
// hidden cannot be read, or what leaves the window cannot be noted.
//
// A login that names a Device never sees what was hidden from that Device,
// even if its View neither keeps nor has a window now. A login without a
// Device and without Keep and Recent sees all.
func Open(ctx context.Context, store maildrop.Store, name string, v maildrop.View) (maildrop.Maildrop, error) {
	m, err := store.Open(ctx, name)
	if err != nil || v == (maildrop.View{}) {
		return m, err
	}
	d := &drop{Maildrop: m, view: v, list: m.Messages()}
	if err := d.prepare(ctx); err != nil {
		m.Close()
		return nil, fmt.Errorf("view of maildrop %q: %w", name, err)
	}
	return d, nil
}

// drop is a Maildrop under a View.
type drop struct {
	maildrop.Maildrop
	view   maildrop.View
	aside  maildrop.Aside // nil if the Maildrop is none
	notes  maildrop.Notes // nil if the Maildrop has none
	hidden hidden
	list   []maildrop.Message
	index  []int // of each message of list in the Maildrop; nil if nothing is hidden
}

// prepare finds out what this login sees.
func (d *drop) prepare(ctx context.Context) error {
	d.aside, _ = d.Maildrop.(maildrop.Aside)
	d.notes, _ = d.Maildrop.(maildrop.Notes)
	remembers := d.view.Keep || d.view.Recent > 0
	switch {
	case remembers && d.notes == nil:
		return fmt.Errorf("this storage cannot remember what is hidden: use no keep and no recent with it: %w", maildrop.ErrPermanent)
	case d.view.Undo > 0 && d.removes() && d.aside == nil:
		return fmt.Errorf("this storage cannot keep removed messages aside: use no undo with it: %w", maildrop.ErrPermanent)
	case !remembers && d.view.Device == "" || d.notes == nil:
		return nil
	}
	note, err := d.notes.Note(ctx, d.key())
	if err != nil {
		return fmt.Errorf("what is hidden from this device: %w", err)
	}
	if d.hidden, err = decode(note); err != nil {
		return fmt.Errorf("note %s of what is hidden from device %q: %w: restore it from a backup; or remove it, and that device sees all messages again: %w",
			d.key(), d.view.Device, err, maildrop.ErrTemporary)
	}
	return d.filter(ctx, time.Now())
}

// removes tells whether deletes touch the Maildrop.
func (d *drop) removes() bool { return !d.view.Keep && !d.view.ReadOnly }

// filter lists what is not hidden. What is older than the window at now is
// noted first: it would be there again if the clock went back, or the window
// were made longer.
func (d *drop) filter(ctx context.Context, now time.Time) error {
	if len(d.hidden) == 0 && d.view.Recent <= 0 {
		return nil
	}
	all := d.Maildrop.Messages()
	room := max(len(all)-len(d.hidden), 0)
	d.list, d.index = make([]maildrop.Message, 0, room), make([]int, 0, room)
	var stale []sum
	for i := range all {
		m := &all[i]
		s := sumOf(m.UID)
		switch {
		case d.hidden.has(s):
		case d.view.Recent > 0 && !m.Received.IsZero() && now.Sub(m.Received) > d.view.Recent:
			stale = append(stale, s)
		default:
			d.list, d.index = append(d.list, *m), append(d.index, i)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	if err := d.hide(ctx, stale); err != nil {
		return fmt.Errorf("messages that left the window cannot be noted: %w: %w", err, maildrop.ErrTemporary)
	}
	return nil
}

// Messages implements maildrop.Maildrop.
func (d *drop) Messages() []maildrop.Message { return d.list }

// Open implements maildrop.Maildrop.
func (d *drop) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	if i < 0 || i >= len(d.list) {
		return nil, errIndex(i)
	}
	return d.Maildrop.Open(ctx, d.below(i))
}

// Peek implements maildrop.Peeker, by Open where the Maildrop is none.
func (d *drop) Peek(ctx context.Context, i int) (io.ReadCloser, error) {
	p, ok := d.Maildrop.(maildrop.Peeker)
	if !ok || i < 0 || i >= len(d.list) {
		return d.Open(ctx, i)
	}
	return p.Peek(ctx, d.below(i))
}

// Rest implements maildrop.Rester, for a Maildrop that is one.
func (d *drop) Rest() {
	if r, ok := d.Maildrop.(maildrop.Rester); ok {
		r.Rest()
	}
}

// below gives the index that message i has in the Maildrop.
func (d *drop) below(i int) int {
	if d.index == nil {
		return i
	}
	return d.index[i]
}

// Remove implements maildrop.Maildrop. The error wraps maildrop.ErrReadOnly
// where the view is read-only.
func (d *drop) Remove(ctx context.Context, marked []int) error {
	if len(marked) == 0 {
		return nil
	}
	if d.view.ReadOnly {
		return fmt.Errorf("view: %d messages not removed: %w", len(marked), maildrop.ErrReadOnly)
	}
	var errs []error
	sound := make([]int, 0, len(marked))
	for _, i := range marked {
		if i < 0 || i >= len(d.list) {
			errs = append(errs, errIndex(i))
			continue
		}
		sound = append(sound, i)
	}
	return errors.Join(append(errs, d.dispose(ctx, sound))...)
}

// dispose does what removal means under the view.
func (d *drop) dispose(ctx context.Context, marked []int) error {
	if d.view.Keep {
		sums := make([]sum, len(marked))
		for n, i := range marked {
			sums[n] = sumOf(d.list[i].UID)
		}
		if err := d.hide(ctx, sums); err != nil {
			return fmt.Errorf("view: messages not hidden: %w", err)
		}
		return nil
	}
	below := make([]int, len(marked))
	for n, i := range marked {
		below[n] = d.below(i)
	}
	if d.view.Undo > 0 {
		return d.aside.SetAside(ctx, below, d.view.Undo)
	}
	return d.Maildrop.Remove(ctx, below)
}

// errIndex is the error for an index that no message has.
func errIndex(i int) error { return fmt.Errorf("view: no message with index %d", i) }
