package move_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// TestKeepIsNoRemoval: what goes from a source that nobody sees any more, as
// expire or an old server may have it, was removed by no user: it is at the
// destination still, and comes with the way back.
func TestKeepIsNoRemoval(t *testing.T) {
	for name, back := range map[string][]move.Options{"at once": {{Empty: true}}, "live first": {{Live: true}, {Empty: true}}} {
		t.Run(name, func(t *testing.T) {
			directions(t, func(t *testing.T, from, to place) {
				letters := short(t)[:3]
				put(t, from, letters)
				run(t, from, to, move.Options{})
				remove(t, from, letters[0].UID)
				run(t, from, to, move.Options{})
				want(t, "the destination", to, letters)
				for _, opts := range back {
					run(t, to, from, opts)
				}
				want(t, "the way back", from, letters)
			})
		})
	}
}

// oneCame moves in a process that dies as soon as the first message came.
func oneCame(t *testing.T, from, to place) {
	t.Helper()
	for at := 1; len(listed(t, to)) == 0; at++ {
		if !killed(t, from, to, move.Options{}, at) {
			t.Fatal("all came at once")
		}
	}
}

// TestArrivedIsNoted: that a message came before a run died, and was removed by
// its user, is noted by the next run, though that fails and has nothing else to
// note.
func TestArrivedIsNoted(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := short(t)[:2]
		put(t, from, letters)
		bad := damaged(from, letters[1].UID)
		oneCame(t, bad, to)
		remove(t, to, letters[0].UID)
		if _, err := move.New(bad, to, move.Options{}).Run(t.Context(), user, nil); !errors.Is(err, move.ErrFailed) {
			t.Fatalf("error %v", err)
		}
		var s struct{ There, Planned, Unsure []string }
		if err := json.Unmarshal(noted(t, from), &s); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.There, uidsOf(letters[:1])) || !slices.Equal(s.Planned, uidsOf(letters[1:])) {
			t.Errorf("noted is %+v", s)
		}
	})
}

// TestRemovedForLong: what its user removed behind a run that died stays removed
// when its trace at the destination has gone, too.
func TestRemovedForLong(t *testing.T) {
	objects := &buckettest.Store{}
	from, to := newMaildirs(t), newBucket(t, bucket.Options{}, objects)
	letters := short(t)[:2]
	put(t, from, letters)
	bad := damaged(from, letters[1].UID)
	oneCame(t, bad, to)
	remove(t, to, letters[0].UID)
	fail := func() {
		t.Helper()
		if _, err := move.New(bad, to, move.Options{}).Run(t.Context(), user, nil); !errors.Is(err, move.ErrFailed) {
			t.Fatalf("error %v", err)
		}
	}
	fail()
	if n := endAside(t, objects); n != 1 {
		t.Fatalf("%d were aside", n)
	}
	want(t, "the destination", to, nil)
	if uids := kept(t, to); len(uids) != 0 {
		t.Fatalf("%q are aside still", uids)
	}
	fail()
	want(t, "the destination, a month later", to, nil)
}

// endAside has the time of what is aside be up. The next session removes it.
func endAside(t *testing.T, objects *buckettest.Store) (n int) {
	t.Helper()
	g := &buckettest.Gateway{Store: objects}
	for _, key := range objects.Keys("mail", "") {
		before, marker, found := strings.Cut(key, "/a/")
		if !found {
			continue
		}
		id, _, _ := strings.Cut(marker, ".")
		if _, err := g.Delete(t.Context(), "mail", []string{key}); err != nil {
			t.Fatal(err)
		}
		if err := g.Put(t.Context(), "mail", before+"/a/"+id+".1.2", strings.NewReader(""), 0); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
