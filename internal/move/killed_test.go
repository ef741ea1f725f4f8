package move_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
)

// TestRemovedAfterDeath: the process dies before any call of a store, and again
// in the next run, and each time the user of the destination removes some of
// what he sees there. Nothing of that comes back, and all else is there.
func TestRemovedAfterDeath(t *testing.T) {
	for name, way := range plainDirections() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sites := 0
			for at, died := 1, true; died && !t.Failed(); at++ {
				from, to := way(t)
				if died = removedAfter(t, from, to, at); died {
					sites = at
				}
				if t.Failed() {
					t.Logf("at call %d", at)
				}
			}
			if sites < 40 {
				t.Errorf("only %d calls were the last", sites)
			}
			t.Logf("sites: %d", sites)
		})
	}
}

// removedAfter tells whether the process died.
func removedAfter(t *testing.T, from, to place, at int) (died bool) {
	letters := short(t)[:5]
	// One went over in an earlier run.
	put(t, from, letters[:1])
	run(t, from, to, move.Options{Live: true})
	put(t, from, letters)
	var removed []string
	for _, calls := range []int{at, at + 7} {
		f := &fate{at: calls}
		_, err := move.New(&mortal{from, f}, &mortal{to, f}, move.Options{Empty: at%3 > 0, AtOnce: 1}).Run(t.Context(), user, nil)
		f.buried()
		if f.dead == (err == nil) {
			t.Fatalf("dead: %v, error %v", f.dead, err)
		}
		died = died || f.dead
		for n, l := range listed(t, to) {
			if slices.Contains(removed, l.UID) {
				t.Errorf("%q was removed, and is there again", l.UID)
			} else if (at+n)%2 == 0 {
				removed = append(removed, l.UID)
			}
		}
		remove(t, to, removed...)
	}
	run(t, from, to, move.Options{Empty: true})
	want(t, "the destination", to, slices.DeleteFunc(letters, func(l letter) bool { return slices.Contains(removed, l.UID) }))
	want(t, "the source", from, nil)
	remove(t, to, uidsOf(listed(t, to))...)
	if n := len(kept(t, to)); n >= len(letters) {
		t.Errorf("%d are kept aside, and the maildrop is settled", n)
	}
	return died
}

// TestFoundRemovedAfterDeath: the same for messages that were on both sides
// before, as soon as they are noted.
func TestFoundRemovedAfterDeath(t *testing.T) {
	for name, way := range plainDirections() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := way(t)
			letters := written(t)[:2]
			removals := 0
			for at, died := 1, true; died; at++ {
				put(t, from, letters)
				put(t, to, letters)
				f := &fate{at: at}
				_, _ = move.New(&mortal{from, f}, &mortal{to, f}, move.Options{}).Run(t.Context(), user, nil)
				f.buried()
				died = f.dead
				rest := letters
				if len(noted(t, from)) > 0 {
					remove(t, to, letters[0].UID)
					rest = letters[1:]
					removals++
				}
				run(t, from, to, move.Options{Empty: true})
				want(t, "the destination", to, rest)
				remove(t, to, letters[1].UID)
			}
			if removals < 5 {
				t.Errorf("only %d were removed when they were noted", removals)
			}
		})
	}
}

// TestWayBackAfterDeath: a maildrop from which messages go away again is
// settled, and keeps nothing of them.
func TestWayBackAfterDeath(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		f := &fate{at: 50}
		_, _ = move.New(&mortal{from, f}, &mortal{to, f}, move.Options{AtOnce: 1}).Run(t.Context(), user, nil)
		f.buried()
		if n := len(listed(t, to)); n < 2 {
			t.Fatalf("only %d came before the death", n)
		}
		run(t, to, from, move.Options{Empty: true})
		want(t, "where it came from", from, letters)
		want(t, "where it went", to, nil)
		if uids := kept(t, to); len(uids) != 0 {
			t.Errorf("%q are kept aside where they came from last", uids)
		}
	})
}

// noted gives the note of what was brought over.
func noted(t *testing.T, s place) []byte {
	t.Helper()
	m, err := s.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	note, err := m.(maildrop.Notes).Note(t.Context(), "move")
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// TestWayBackKnowsTheDead: of a process that died the way back knows what it
// had brought over: what users have removed since, on the side that they see,
// does not come from the other.
func TestWayBackKnowsTheDead(t *testing.T) {
	for name, live := range map[string]bool{"users at the source": false, "users at the destination": true} {
		t.Run(name, func(t *testing.T) {
			directions(t, func(t *testing.T, from, to place) {
				letters := written(t)
				put(t, from, letters)
				f := &fate{at: 70}
				_, _ = move.New(&mortal{from, f}, &mortal{to, f}, move.Options{Live: !live, AtOnce: 1}).Run(t.Context(), user, nil)
				f.buried()
				there := listed(t, to)
				if note := string(noted(t, from)); !f.dead || !strings.Contains(note, `"planned"`) || len(there) < 2 {
					t.Fatalf("dead: %v, %d messages came; noted is %s", f.dead, len(there), note)
				}
				seen := from
				if live {
					seen = to
				}
				remove(t, seen, there[0].UID)
				run(t, to, from, move.Options{Live: live})
				for _, l := range listed(t, from) {
					if l.UID == there[0].UID {
						t.Errorf("%q was removed, and is there", l.UID)
					}
				}
				if n := len(listed(t, from)); n != len(letters)-1 {
					t.Errorf("there are %d messages, want %d", n, len(letters)-1)
				}
			})
		})
	}
}

// TestMirroredBeforeDeath: what a run that died had set aside at the
// destination, as its user had removed it from the source, and is in the source
// again, is brought over when users see the destination.
func TestMirroredBeforeDeath(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		for at, died := 1, true; died; at++ {
			put(t, from, letters[:4])
			run(t, from, to, move.Options{Live: true})
			setAside(t, from, letters[1].UID)
			f := &fate{at: at}
			_, _ = move.New(&mortal{from, f}, &mortal{to, f}, move.Options{Live: true}).Run(t.Context(), user, nil)
			f.buried()
			died = f.dead
			if n, err := from.Undelete(t.Context(), user, time.Time{}); n != 1 || err != nil {
				t.Fatalf("%d came back, %v", n, err)
			}
			run(t, from, to, move.Options{Empty: true})
			want(t, "the destination", to, letters[:4])
			empty(t, to)
			if t.Failed() {
				t.Fatalf("at call %d", at)
			}
		}
	})
}
