package move_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
)

var (
	worlds = flag.Int("worlds", 50, "how many worlds TestWorlds makes")
	seed   = flag.String("seed", "", "the seed of the one world that TestWorlds makes, or POPLIN_SEED")
)

// TestWorlds: a maildrop is moved at random, to and fro, by runs that may be
// killed at any call and find messages damaged, while mail comes and its user
// removes some, and brings some back. A failure prints the seed of its world,
// which repeats it but for the order in which several messages are copied at
// once.
func TestWorlds(t *testing.T) {
	seeds := make([]uint64, *worlds)
	for i := range seeds {
		seeds[i] = rand.Uint64()
	}
	if s := max(*seed, os.Getenv("POPLIN_SEED")); s != "" {
		one, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{one}
	}
	var mu sync.Mutex
	sum := make(map[string]int)
	for _, one := range seeds {
		t.Run(fmt.Sprintf("%#x", one), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, one)
			defer func() {
				if t.Failed() {
					t.Logf("%s\nreplay with: go test ./internal/move -run TestWorlds -seed %#x", strings.Join(w.log, "\n"), one)
				}
			}()
			w.run()
			mu.Lock()
			defer mu.Unlock()
			for what, n := range w.tally {
				sum[what] += n
			}
		})
	}
	t.Cleanup(func() {
		t.Logf("%d worlds: %v", len(seeds), sum)
		for _, what := range []string{"runs", "killed", "failed", "delivered", "removed", "set aside", "undeleted"} {
			if sum[what] == 0 && len(seeds) > 20 {
				t.Errorf("nothing was %s: %v", what, sum)
			}
		}
	})
}

// world is a user with two maildrops, and the books of that.
type world struct {
	*testing.T
	rng    *rand.Rand
	a, b   place
	atOnce int
	texts  map[string]string // by UID: what there ever was
	seen   map[string]bool   // what its user sees
	gone   map[string]bool   // what its user removed
	unseen map[string]bool   // what is only where its user does not look, so far
	tally  map[string]int
	log    []string
}

func newWorld(t *testing.T, seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 0))
	ways := directionsOf()
	name := slices.Sorted(maps.Keys(ways))[rng.IntN(len(ways))]
	w := &world{T: t, rng: rng, atOnce: 1 + 2*rng.IntN(2), texts: make(map[string]string), seen: make(map[string]bool),
		gone: make(map[string]bool), unseen: make(map[string]bool), tally: make(map[string]int)}
	w.a, w.b = ways[name](t)
	w.say("%s, %d at once", name, w.atOnce)
	return w
}

func (w *world) say(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// run lets the world go on to its end.
func (w *world) run() {
	letters := short(w)
	put(w, w.a, letters)
	for _, l := range letters {
		w.texts[l.UID] = l.text
	}
	switch w.rng.IntN(4) {
	case 0:
		w.say("as it should be")
		w.see(w.a)
		w.moved()
	case 1:
		w.say("its user sees b from the first")
		w.hide(w.a)
		w.emptied()
	case 2:
		w.hide(w.a)
		w.toAndFro()
	case 3:
		w.see(w.a)
		w.switched()
	}
}

// see notes that its user sees what is there; hide, that he does not.
func (w *world) see(s place) {
	for _, l := range listed(w, s) {
		w.seen[l.UID] = true
	}
}

func (w *world) hide(s place) {
	for _, l := range listed(w, s) {
		w.unseen[l.UID] = true
	}
}

// moved moves a to b as the documents say: while the user sees a, then while he
// sees b; and back.
func (w *world) moved() {
	w.copied(w.a, w.b)
	w.emptied()
	w.copied(w.b, w.a)
	here, there := w.look(w.a), w.look(w.b)
	if !maps.Equal(here, there) && !w.Failed() {
		w.Errorf("a is %q, b is %q", slices.Sorted(maps.Keys(here)), slices.Sorted(maps.Keys(there)))
	}
	w.a, w.b = w.b, w.a
	w.emptied()
}

// copied makes b like a, which the user sees.
func (w *world) copied(a, b place) {
	for n, done := 0, false; !w.Failed() && !(done && n > 2); n++ {
		w.user(a)
		done = w.move(a, b, move.Options{Live: true})
		w.check(a)
	}
	for uid := range w.look(b) {
		if w.gone[uid] {
			w.Errorf("%s was removed, and is in the copy", uid)
		}
	}
}

// emptied brings all from a to b, which the user sees.
func (w *world) emptied() {
	for n, done := 0, false; !w.Failed() && !(done && n > 2); n++ {
		w.user(w.b)
		w.stray(w.a)
		opts := move.Options{Empty: w.rng.IntN(2) == 0}
		done = w.move(w.harmed(w.a), w.b, opts)
		w.check(w.b)
		if done && len(w.unseen) > 0 {
			w.Errorf("%v did not come", w.unseen)
		}
		done = done && opts.Empty
	}
	w.end(w.a, w.b)
}

// toAndFro has the user see b all the time, whichever way the runs go.
func (w *world) toAndFro() {
	for n := 0; n < 10 && !w.Failed(); n++ {
		w.user(w.b)
		w.stray(w.a)
		if w.rng.IntN(2) == 0 {
			w.move(w.harmed(w.a), w.b, move.Options{Empty: w.rng.IntN(2) == 0})
		} else {
			w.move(w.b, w.a, move.Options{Live: true})
		}
		w.check(w.b)
	}
	w.move(w.a, w.b, move.Options{})
	w.check(w.b)
	w.end(w.a, w.b)
}

// switched has the user see the other maildrop at any time. What he removed may
// be there again, but nothing is lost.
func (w *world) switched() {
	live, other := w.a, w.b
	for n := 0; n < 10 && !w.Failed(); n++ {
		w.user(live)
		w.stray(other)
		from, to := live, other
		if w.rng.IntN(2) == 0 {
			from, to = other, live
		}
		opts := move.Options{Live: from == live, Empty: from != live && w.rng.IntN(2) == 0}
		w.move(w.harmed(from), to, opts)
		w.kept()
		if w.rng.IntN(3) == 0 {
			w.say("switched")
			live, other = other, live
		}
	}
	clear(w.gone)
	w.end(other, live)
	w.kept()
}

// end brings what is left from a to b, without any death.
func (w *world) end(a, b place) {
	if w.Failed() {
		return
	}
	run(w, a, b, move.Options{Empty: true})
	if left := w.look(a); len(left) > 0 {
		w.Errorf("%d messages are left in the source", len(left))
	}
	for uid := range w.look(b) {
		if w.gone[uid] {
			w.Errorf("%s was removed, and is there at the end", uid)
		}
	}
	settled(w.T, b)
}

// user does what comes to his mind with what he sees.
func (w *world) user(live place) {
	for range w.rng.IntN(4) {
		switch w.rng.IntN(6) {
		case 0:
			w.remove(live, "removed", func(m maildrop.Maildrop, marked []int) error { return m.Remove(w.Context(), marked) })
		case 1:
			w.remove(live, "set aside", func(m maildrop.Maildrop, marked []int) error {
				return m.(maildrop.Aside).SetAside(w.Context(), marked, time.Hour)
			})
		case 2, 3:
			w.seen[w.deliver(live)] = true
		case 4:
			if w.rng.IntN(3) == 0 {
				w.undelete(live)
			}
		}
	}
}

func (w *world) deliver(s place) string {
	l := deliver(w, s, fmt.Sprintf("Subject: %d\n\nx\n", len(w.texts)))
	w.texts[l.UID] = l.text
	w.tally["delivered"]++
	w.say("delivered %s in a: %v", l.UID, s == w.a)
	return l.UID
}

// stray has mail come now and then where the user does not look.
func (w *world) stray(s place) {
	if w.rng.IntN(3) == 0 {
		w.unseen[w.deliver(s)] = true
	}
}

func (w *world) remove(live place, how string, remove func(maildrop.Maildrop, []int) error) {
	m, err := live.Open(w.Context(), user)
	if err != nil {
		w.Fatal(err)
	}
	defer m.Close()
	var marked []int
	for i, msg := range m.Messages() {
		if w.rng.IntN(4) == 0 {
			marked = append(marked, i)
			w.gone[msg.UID] = true
			delete(w.seen, msg.UID)
			delete(w.unseen, msg.UID)
			w.say("%s: %s", how, msg.UID)
		}
	}
	if err := remove(m, marked); err != nil {
		w.Fatal(err)
	}
	w.tally[how] += len(marked)
}

func (w *world) undelete(live place) {
	before := w.look(live)
	if _, err := live.Undelete(w.Context(), user, time.Time{}); err != nil {
		w.say("undelete: %v", err)
	}
	for uid := range w.look(live) {
		if !before[uid] {
			delete(w.gone, uid)
			w.seen[uid] = true
			w.tally["undeleted"]++
			w.say("undeleted %s", uid)
		}
	}
}

// harmed has one message not be read now and then.
func (w *world) harmed(s place) place {
	uids := slices.Sorted(maps.Keys(w.look(s)))
	if len(uids) == 0 || w.rng.IntN(4) > 0 {
		return s
	}
	uid := uids[w.rng.IntN(len(uids))]
	w.say("%s cannot be read", uid)
	return damaged(s, uid)
}

// move tells whether it came to its end.
func (w *world) move(from, to place, opts move.Options) bool {
	f := &fate{at: 1 + w.rng.IntN(150)}
	if w.rng.IntN(3) == 0 {
		f.at = 0
	}
	opts.AtOnce = w.atOnce
	r, err := move.New(&mortal{from, f}, &mortal{to, f}, opts).Run(w.Context(), user, nil)
	f.buried()
	w.say("move to a: %v, %+v, killed at %d: %v; %+v, %v", to == w.a, opts, f.at, f.dead, r, err)
	w.tally["runs"]++
	_, harmed := from.(*watched)
	switch {
	case f.dead:
		w.tally["killed"]++
	case err != nil && harmed:
		w.tally["failed"]++
	case err != nil:
		w.Errorf("move: %v", err)
	}
	return err == nil
}

// look gives the UIDs of what is there, which must be as it was written.
func (w *world) look(s place) map[string]bool {
	there := make(map[string]bool)
	for _, l := range listed(w, s) {
		there[l.UID] = true
		if text, known := w.texts[l.UID]; !known || text != l.text || l.Size != int64(len(text)) {
			w.Errorf("%q is %d octets, %.40q, want %.40q", l.UID, l.Size, l.text, text)
		}
	}
	return there
}

// check compares what the user sees with the books.
func (w *world) check(live place) {
	there := w.look(live)
	for uid := range there {
		switch {
		case w.gone[uid]:
			w.Errorf("%s was removed, and is there", uid)
		case w.unseen[uid]:
			delete(w.unseen, uid)
			w.seen[uid] = true
		case !w.seen[uid]:
			w.Errorf("%s came from nowhere", uid)
		}
	}
	for uid := range w.seen {
		if !there[uid] {
			w.Errorf("%s is not seen any more", uid)
		}
	}
	w.kept()
}

// kept checks that all that nobody removed is in one of the maildrops.
func (w *world) kept() {
	here, there := w.look(w.a), w.look(w.b)
	for uid := range w.texts {
		if (w.seen[uid] || w.unseen[uid]) && !here[uid] && !there[uid] {
			w.Errorf("%s is lost", uid)
		}
	}
}
