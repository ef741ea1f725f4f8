package move_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// killed moves in a process that dies before its call of that number.
func killed(t *testing.T, from, to place, opts move.Options, at int) (dead bool) {
	t.Helper()
	opts.AtOnce = 1
	f := &fate{at: at}
	_, err := move.New(&mortal{from, f}, &mortal{to, f}, opts).Run(t.Context(), user, nil)
	f.buried()
	if f.dead == (err == nil) {
		t.Fatalf("dead: %v, error %v", f.dead, err)
	}
	return f.dead
}

func lists(t *testing.T, s place, uid string) bool {
	t.Helper()
	return slices.Contains(uidsOf(listed(t, s)), uid)
}

// TestAsideBefore: what the destination had aside before a run is no sign that
// its user removed what that run was to bring. It is in the source again, and
// the run dies before it brings it.
func TestAsideBefore(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)[:3]
		put(t, from, letters)
		live := move.Options{Live: true}
		run(t, from, to, live)
		setAside(t, from, letters[2].UID)
		run(t, from, to, live)
		if n, err := from.Undelete(t.Context(), user, time.Time{}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		for at, before := 1, string(noted(t, from)); string(noted(t, from)) == before; at++ {
			if !killed(t, from, to, live, at) {
				t.Fatal("what is planned is never noted")
			}
		}
		if lists(t, to, letters[2].UID) {
			t.Fatal("it came before the death")
		}
		if r := run(t, from, to, move.Options{Empty: true}); r.Copied != 1 || r.Dropped != 0 {
			t.Errorf("the result is %+v", r)
		}
		if got := listed(t, to); len(got) != len(letters) || !lists(t, to, letters[2].UID) {
			t.Errorf("the destination is\n%s", show(got))
		}
	})
}

// TestWayBackTwice: what users have removed behind a run that died does not come
// back with the way back, nor with the way that follows that.
func TestWayBackTwice(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		for at := 30; len(listed(t, to)) < 2; at++ {
			if !killed(t, from, to, move.Options{}, at) {
				t.Fatal("all came at once")
			}
		}
		if n := len(listed(t, to)); n == len(letters) {
			t.Fatal("all came before the death")
		}
		gone := listed(t, to)[0].UID
		remove(t, to, gone)
		run(t, to, from, move.Options{Live: true})
		if lists(t, from, gone) {
			t.Errorf("%q was removed, and is there where it came from", gone)
		}
		run(t, from, to, move.Options{Empty: true})
		if got := listed(t, to); len(got) != len(letters)-1 || lists(t, to, gone) {
			t.Errorf("the destination is without %q\n%s", gone, show(got))
		}
	})
}

// TestUnreadableWhenEmptied: a message that is over stays so when the source is
// to be emptied and cannot be read.
func TestUnreadableWhenEmptied(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)[:3]
		put(t, from, letters)
		run(t, from, to, move.Options{Live: true})
		if _, err := move.New(damaged(from, letters[1].UID), to, move.Options{Empty: true}).Run(t.Context(), user, nil); !errors.Is(err, move.ErrFailed) {
			t.Errorf("error %v", err)
		}
		remove(t, to, letters[1].UID)
		if r := run(t, from, to, move.Options{Empty: true}); r.Copied != 0 || r.Dropped != 1 {
			t.Errorf("the result is %+v", r)
		}
		want(t, "the destination", to, slices.Delete(letters, 1, 2))
		want(t, "the source", from, nil)
	})
}

// TestOtherAndUnread: where one message is another at the destination, and one
// could not be compared, removals leave a trace there still: what is gone of the
// second was removed by its user.
func TestOtherAndUnread(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)[:2]
		put(t, from, letters)
		other := slices.Clone(letters)
		other[0].text, other[0].Size = "Subject: o\r\n\r\n", 14
		put(t, to, other)
		r, err := move.New(damaged(from, letters[1].UID), to, move.Options{}).Run(t.Context(), user, nil)
		if !errors.Is(err, move.ErrFailed) || len(r.Failed) != 2 {
			t.Errorf("error %v, %+v", err, r)
		}
		remove(t, to, uidsOf(other)...)
		run(t, from, to, move.Options{})
		want(t, "the destination", to, letters[:1])
	})
}

// TestOtherSetAside: the other message is removed where that is kept for
// undelete; the run behind that brings the source's own, and not the other.
func TestOtherSetAside(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)[:3]
		put(t, from, letters)
		other := letters[1]
		other.text, other.Size = "Subject: o\r\n\r\n", 14
		put(t, to, []letter{other})
		if _, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil); !errors.Is(err, move.ErrFailed) {
			t.Errorf("error %v", err)
		}
		setAside(t, to, other.UID)
		run(t, from, to, move.Options{Empty: true})
		want(t, "the destination", to, letters)
		want(t, "the source", from, nil)
	})
}

// TestHeldByUID: of what stays at a destination that is in use the note names
// the messages themselves, wherever the run has them lie in the end.
func TestHeldByUID(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		x, alone, first := letters[3], letters[0], letters[4] // they lie the other way round
		put(t, from, []letter{x})
		run(t, from, to, move.Options{Live: true})
		put(t, to, []letter{alone, x})
		remove(t, from, x.UID)
		put(t, from, []letter{first})
		run(t, from, to, move.Options{Live: true})
		if note := string(noted(t, from)); !lists(t, to, x.UID) || strings.Contains(note, alone.UID) {
			t.Errorf("noted is %s", note)
		}
		run(t, to, from, move.Options{Empty: true})
		if lists(t, from, x.UID) {
			t.Errorf("%q was removed, and is there again", x.UID)
		}
		if !lists(t, from, alone.UID) {
			t.Errorf("%q is lost", alone.UID)
		}
	})
}

// TestSettledByNothing: where a run died, and the source is another one now that
// has nothing, a run with nothing to do settles the destination.
func TestSettledByNothing(t *testing.T) {
	for name, way := range directionsOf() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := way(t)
			put(t, from, written(t)[:3])
			for at := 10; len(listed(t, to)) == 0; at++ {
				if !killed(t, from, to, move.Options{}, at) {
					t.Fatal("all came at once")
				}
			}
			fresh := newMaildirs(t)
			if _, ok := from.(*bucket.Store); ok {
				fresh = newBucket(t, bucket.Options{}, nil)
			}
			run(t, fresh, to, move.Options{Empty: true})
			settled(t, to)
		})
	}
}

// settled checks that what is removed is gone for good.
func settled(t *testing.T, s place) {
	t.Helper()
	l := deliver(t, s, "Subject: to be removed\n\nx\n")
	remove(t, s, l.UID)
	if slices.Contains(kept(t, s), l.UID) {
		t.Error("what is removed is kept aside: the maildrop is not settled")
	}
}
