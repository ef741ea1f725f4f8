package move_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
)

// setAside removes messages as a session does where they are kept for
// undelete.
func setAside(t *testing.T, s maildrop.Store, uids ...string) {
	t.Helper()
	m, err := s.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var marked []int
	for i, msg := range m.Messages() {
		if slices.Contains(uids, msg.UID) {
			marked = append(marked, i)
		}
	}
	if err := m.(maildrop.Aside).SetAside(t.Context(), marked, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// TestKeptAsideAtDestination: what its user has removed where it is kept for
// undelete does not come back with new mail of the source.
func TestKeptAsideAtDestination(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		run(t, from, to, move.Options{Live: true})
		setAside(t, to, letters[2].UID, letters[3].UID)
		late := deliver(t, from, "Subject: late\n\nx\n")
		r := run(t, from, to, move.Options{Empty: true})
		if r.Copied != 1 || r.Dropped != 2 || r.Left != 0 {
			t.Errorf("the result is %+v", r)
		}
		want(t, "the destination", to, append(slices.Delete(letters, 2, 4), late))
		if n, err := to.Undelete(t.Context(), user, time.Time{}); n != 2 || err != nil {
			t.Errorf("%d can be brought back, %v", n, err)
		}
	})
}

// TestRemovedAfterFailure: a message that is damaged in the source does not
// bring back what users of the destination have removed.
func TestRemovedAfterFailure(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		for n := range 3 {
			r, err := move.New(damaged(from, letters[1].UID), to, move.Options{Empty: true}).Run(t.Context(), user, nil)
			if !errors.Is(err, move.ErrFailed) || n > 0 && r.Copied != 0 {
				t.Errorf("run %d: %+v, %v", n, r, err)
			}
			if n == 0 {
				remove(t, to, letters[2].UID, letters[3].UID)
			}
		}
		r := run(t, from, to, move.Options{Empty: true})
		if r.Copied != 1 || r.Dropped != 2 || r.Left != 0 {
			t.Errorf("the source is well again: %+v", r)
		}
		want(t, "the destination", to, slices.Delete(letters, 2, 4))
	})
}

// TestBackupIsNoSource: what users have removed from the live store does not
// come back from the copy that was made of it.
func TestBackupIsNoSource(t *testing.T) {
	directions(t, func(t *testing.T, live, backup place) {
		letters := written(t)
		put(t, live, letters)
		run(t, live, backup, move.Options{Live: true})
		remove(t, live, letters[2].UID, letters[3].UID)
		r := run(t, backup, live, move.Options{Empty: true})
		if r.Copied != 0 || r.Dropped != 2 || r.Left != 0 {
			t.Errorf("the result is %+v", r)
		}
		want(t, "the live store", live, slices.Delete(letters, 2, 4))
		if n, err := backup.Undelete(t.Context(), user, time.Time{}); n != 2 || err != nil {
			t.Errorf("%d can be brought back, %v", n, err)
		}
	})
}

// TestEmptyingIsNoUser: what a move that was killed had removed from its
// source comes back when the next one goes the other way.
func TestEmptyingIsNoUser(t *testing.T) {
	for name, way := range directionsOf() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			letters := short(t)
			killed := func(at int) (from, to place, calls int) {
				from, to = way(t)
				put(t, from, letters)
				f := &fate{at: at}
				_, _ = move.New(&mortal{from, f}, &mortal{to, f}, move.Options{Empty: true, AtOnce: 1}).Run(t.Context(), user, nil)
				f.buried()
				return from, to, f.calls
			}
			_, _, last := killed(0)
			for at := last; ; at-- {
				from, to, _ := killed(at)
				if len(listed(t, from)) == len(letters) {
					if at > last-len(letters) {
						t.Errorf("only %d calls before the last nothing is removed", last-at)
					}
					break
				}
				run(t, to, from, move.Options{Empty: true})
				want(t, "where it came from", from, letters)
				want(t, "where it went", to, nil)
			}
		})
	}
}
