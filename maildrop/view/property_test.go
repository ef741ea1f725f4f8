package view

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/maildir"
)

// device is one device of the property test: what it saw, and what it said.
type device struct {
	name     string
	seen     map[string]bool // at its last login
	vanished map[string]bool // it was there at one login and not at a later one
	deleted  map[string]bool // by DELE under Keep
}

// world is a maildrop with several devices whose views change, a clock that
// jumps, and messages that are removed and brought back.
type world struct {
	testing.TB
	rng     *rand.Rand
	store   stored
	made    int
	present map[string]bool // messages in the maildrop
	aside   map[string]time.Time
	devices []*device
}

// stored is what the test asks of a store.
type stored interface {
	maildrop.Store
	maildrop.Deliverer
	maildrop.Undeleter
}

// view makes a view at random.
func (w *world) view(d *device) maildrop.View {
	v := maildrop.View{Device: d.name, ReadOnly: w.rng.IntN(8) == 0, Keep: w.rng.IntN(2) == 0}
	if w.rng.IntN(2) == 0 {
		v.Recent = time.Duration(1+w.rng.IntN(60)) * day
	}
	if w.rng.IntN(2) == 0 {
		v.Undo = time.Duration(1+w.rng.IntN(90)) * day
	}
	return v
}

func (w *world) step() {
	switch op := w.rng.IntN(10); {
	case op < 4:
		w.made++
		receipt, err := w.store.Deliver(w.Context(), user, strings.NewReader(fmt.Sprintf("message %d\n", w.made)))
		if err != nil {
			w.Fatal(err)
		}
		w.present[receipt.UID] = true
	case op < 5:
		w.undelete()
	case op < 6:
		time.Sleep(time.Duration(w.rng.IntN(20)) * day)
	default:
		w.login(w.devices[w.rng.IntN(len(w.devices))])
	}
}

// undelete brings back all that must come back, and nothing else.
func (w *world) undelete() {
	w.Helper()
	n, err := w.store.Undelete(w.Context(), user, time.Time{})
	if err != nil {
		w.Fatal(err)
	}
	for uid, until := range w.aside {
		if time.Now().Before(until) {
			w.present[uid] = true
			n--
		}
	}
	if n != 0 {
		w.Errorf("Undelete brought %d more messages back than were kept", n)
	}
	clear(w.aside)
}

// login looks at the maildrop as a device, and perhaps removes something.
func (w *world) login(d *device) {
	w.Helper()
	v := w.view(d)
	m, err := Open(w.Context(), w.store, user, v)
	if err != nil {
		w.Fatalf("Open with %+v: %v", v, err)
	}
	defer m.Close()
	list := m.Messages()
	now := make(map[string]bool)
	for i, msg := range list {
		now[msg.UID] = true
		if d.vanished[msg.UID] || d.deleted[msg.UID] {
			w.Errorf("message %s comes back to %s", msg.UID, d.name)
		}
		if !w.present[msg.UID] {
			w.Errorf("message %s is listed, and was removed", msg.UID)
		}
		if size := int64(len(read(w, m, i))); size != msg.Size {
			w.Errorf("message %s has size %d, not %d", msg.UID, size, msg.Size)
		}
	}
	for uid := range w.present {
		if !now[uid] && d.seen[uid] {
			d.vanished[uid] = true
		} else if !now[uid] && v.Recent == 0 && !d.vanished[uid] && !d.deleted[uid] && d.seen == nil {
			w.Errorf("message %s was never shown to %s", uid, d.name)
		}
	}
	d.seen = now
	w.delete(d, v, m)
}

func (w *world) delete(d *device, v maildrop.View, m maildrop.Maildrop) {
	w.Helper()
	var marked []int
	for i := range m.Messages() {
		if w.rng.IntN(5) == 0 {
			marked = append(marked, i)
		}
	}
	err := m.Remove(w.Context(), marked)
	if (err != nil) != (v.ReadOnly && len(marked) > 0) {
		w.Errorf("Remove of %d with %+v: %v", len(marked), v, err)
	}
	if err != nil {
		return
	}
	for _, i := range marked {
		uid := m.Messages()[i].UID
		if v.Keep {
			d.deleted[uid] = true
			continue
		}
		delete(w.present, uid)
		if v.Undo > 0 {
			w.aside[uid] = time.Now().Add(v.Undo)
		}
	}
}

// check compares the whole maildrop with what must be there.
func (w *world) check() {
	w.Helper()
	m, err := Open(w.Context(), w.store, user, maildrop.View{})
	if err != nil {
		w.Fatal(err)
	}
	defer m.Close()
	var got, want []string
	for _, msg := range m.Messages() {
		got = append(got, msg.UID)
	}
	for uid := range w.present {
		want = append(want, uid)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.Errorf("in the maildrop are %q, want %q", got, want)
	}
}

// TestNothingComesBack does random things with several devices. Whatever
// views, time and other devices do, what vanished for a device is not shown to
// it again, and nothing is removed but by those who may. A failure prints its
// seed.
func TestNothingComesBack(t *testing.T) {
	run := func(t *testing.T, seed uint64, steps int, store stored) {
		w := &world{TB: t, rng: rand.New(rand.NewPCG(seed, 0)), store: store, present: make(map[string]bool), aside: make(map[string]time.Time)}
		for _, name := range []string{"phone", "tablet", "Ärger / 7"} {
			w.devices = append(w.devices, &device{name: name, vanished: make(map[string]bool), deleted: make(map[string]bool)})
		}
		for range steps {
			w.step()
			w.check()
			if t.Failed() {
				return
			}
		}
	}
	for n := range 30 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("memory-%d-seed-%#x", n, seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(t, seed, 300, newPost(t).Store) })
		})
	}
	for n := range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("maildir-%d-seed-%#x", n, seed), func(t *testing.T) {
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s, err := maildir.New(maildir.Options{Path: root + "/{user}"})
				if err == nil {
					err = s.Create(t.Context(), user)
				}
				if err != nil {
					t.Fatal(err)
				}
				run(t, seed, 150, s)
			})
		})
	}
}
