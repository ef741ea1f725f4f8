package move_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
	"github.com/poplin-mail/poplin/maildrop/maildir"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/maildrop/view"
)

// remove removes messages as a session does.
func remove(t *testing.T, s maildrop.Store, uids ...string) {
	t.Helper()
	m, err := s.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, msg := range m.Messages() {
		if slices.Contains(uids, msg.UID) {
			if err := m.Remove(t.Context(), []int{i}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLiveSource: as long as users see the source it stays as it is, and each
// run makes the destination the same.
func TestLiveSource(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		live := move.Options{Live: true}
		if r := run(t, from, to, live); r.Copied != len(letters) || r.Compared != len(letters) || r.Removed != 0 || r.Left != len(letters) {
			t.Errorf("the first run: %+v", r)
		}
		want(t, "the source", from, letters)
		want(t, "the destination", to, letters)
		if r := run(t, from, to, live); r.Copied+r.Compared+r.Gone != 0 || r.There != len(letters) {
			t.Errorf("nothing is new: %+v", r)
		}
		remove(t, from, letters[0].UID, letters[4].UID)
		letters = slices.Delete(slices.Delete(letters, 4, 5), 0, 1)
		letters = append(letters, deliver(t, from, "Subject: new\n\nx\n"))
		if r := run(t, from, to, live); r.Copied != 1 || r.Compared != 1 || r.Gone != 2 {
			t.Errorf("one is new, two are gone: %+v", r)
		}
		want(t, "the destination, again", to, letters)
		remove(t, from, uidsOf(letters)...)
		if r := run(t, from, to, live); r.Gone != len(letters) {
			t.Errorf("all are gone: %+v", r)
		}
		want(t, "the destination, at last", to, nil)
		// Nobody has asked for that there: it can be brought back, and is there
		// again where it is in the source again.
		if kept := kept(t, to); len(kept) != len(letters)+2 {
			t.Errorf("%q can be brought back", kept)
		}
		put(t, from, letters)
		run(t, from, to, live)
		want(t, "the destination, after a restore", to, letters)
	})
}

// kept gives the UIDs of what is kept aside.
func kept(t *testing.T, s maildrop.Store) []string {
	t.Helper()
	m, err := s.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	uids, err := m.(maildrop.Aside).Kept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return uids
}

func uidsOf(letters []letter) []string {
	var uids []string
	for _, l := range letters {
		uids = append(uids, l.UID)
	}
	return uids
}

// TestDestinationIsKept: what is gone from the source is no reason to remove anything where
// something else puts mail, and where an earlier run has emptied it.
func TestDestinationIsKept(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		run(t, from, to, move.Options{Live: true})
		all := append(slices.Clone(letters), deliver(t, to, "Subject: native\n\nx\n"))
		remove(t, from, letters[1].UID)
		if r := run(t, from, to, move.Options{Live: true}); r.Gone != 0 {
			t.Errorf("the destination is in use: %+v", r)
		}
		want(t, "the destination", to, all)
		run(t, from, to, move.Options{Live: true, Empty: true})
		if r := run(t, from, to, move.Options{Live: true}); r.Gone != 0 {
			t.Errorf("the source was emptied: %+v", r)
		}
		want(t, "the destination, at last", to, all)
	})
}

// TestLiveDestination: what its user has removed there does not come back, and
// what came into the source meanwhile is not lost.
func TestLiveDestination(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		run(t, from, to, move.Options{Live: true})
		late := deliver(t, from, "Subject: late\n\nx\n")
		remove(t, to, letters[2].UID, letters[3].UID)
		if r := run(t, from, to, move.Options{}); r.Copied != 1 || r.Dropped != 0 || r.Left != len(letters)+1 {
			t.Errorf("without emptying: %+v", r)
		}
		r := run(t, from, to, move.Options{Empty: true})
		if r.Copied != 0 || r.Dropped != 2 || r.Removed != len(letters)-1 || r.Compared != len(letters)-1 || r.Left != 0 {
			t.Errorf("the result is %+v", r)
		}
		want(t, "the destination", to, append(slices.Delete(letters, 2, 4), late))
		want(t, "the source", from, nil)
		if n, err := from.Undelete(t.Context(), user, time.Time{}); n != 2 || err != nil {
			t.Errorf("%d can be brought back, %v", n, err)
		}
	})
}

// TestWayBack: what users removed while they saw the destination is removed
// when they go back to the source; and what went there once is no reason to
// remove anything later.
func TestWayBack(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		run(t, from, to, move.Options{Live: true})
		native := deliver(t, to, "Subject: native\n\nx\n")
		remove(t, to, letters[1].UID, letters[5].UID)
		letters = slices.Delete(slices.Delete(letters, 5, 6), 1, 2)
		if r := run(t, to, from, move.Options{Live: true}); r.Copied != 1 || r.Gone != 2 {
			t.Errorf("the way back: %+v", r)
		}
		letters = append(letters, native)
		want(t, "the source", from, letters)
		remove(t, to, letters[0].UID)
		letters = letters[1:]
		if r := run(t, to, from, move.Options{Live: true}); r.Copied != 0 || r.Compared != 0 || r.Gone != 1 {
			t.Errorf("the way back, again: %+v", r)
		}
		want(t, "the source", from, letters)
		run(t, to, from, move.Options{Empty: true})
		want(t, "the destination", to, nil)
		if r := run(t, from, to, move.Options{Empty: true}); r.Copied != len(letters) || r.Dropped != 0 {
			t.Errorf("once more: %+v", r)
		}
		want(t, "the destination, at last", to, letters)
	})
}

// TestOtherDestination: a destination that is another one, or is empty again,
// lacks everything: all is copied once more, and nothing dropped.
func TestOtherDestination(t *testing.T) {
	from, to := newMaildirs(t), newBucket(t, bucket.Options{}, nil)
	letters := written(t)
	put(t, from, letters)
	run(t, from, to, move.Options{Live: true})
	other := newBucket(t, bucket.Options{}, nil)
	if r := run(t, from, other, move.Options{Empty: true}); r.Dropped != 0 || r.Copied != len(letters) {
		t.Errorf("the result is %+v", r)
	}
	want(t, "the other destination", other, letters)
}

// TestInUse: both maildrops are locked, and a session that is open on either
// side keeps the move out, until it ends.
func TestInUse(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)[:2]
		put(t, from, letters)
		for _, s := range []place{from, to} {
			m, err := s.Open(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			m.(maildrop.Importer).Relist(t.Context())
			if _, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil); !errors.Is(err, maildrop.ErrInUse) {
				t.Errorf("a session is open: %v", err)
			}
			time.AfterFunc(50*time.Millisecond, func() { m.Close() })
			if s == from {
				run(t, from, to, move.Options{Wait: time.Minute})
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		tried := false
		reads := &watched{place: from, first: func() {
			tried = true
			for _, s := range []place{from, to} {
				m, err := s.Open(t.Context(), user)
				if err == nil {
					err = m.(maildrop.Importer).Relist(t.Context())
					m.Close()
				}
				if !errors.Is(err, maildrop.ErrInUse) {
					t.Errorf("a login in the middle: %v", err)
				}
			}
			meanwhile(t, from)
			cancel()
		}}
		if _, err := move.New(reads, to, move.Options{Empty: true, Wait: time.Minute}).Run(ctx, user, nil); !errors.Is(err, context.Canceled) || !tried {
			t.Errorf("cancelled in the middle: %v", err)
		}
		if r := run(t, from, to, move.Options{Empty: true}); r.Messages != 3 {
			t.Errorf("the run behind it: %+v", r)
		}
		if got := listed(t, to); len(got) != 3 {
			t.Errorf("there are\n%s", show(got))
		}
	})
}

func meanwhile(t *testing.T, s place) {
	t.Helper()
	if _, err := s.Deliver(t.Context(), user, strings.NewReader("Subject: meanwhile\n\nx\n")); err != nil {
		t.Error(err)
	}
}

// TestMailMeanwhile: what comes while the maildrop is moved is moved too, in
// the same run.
func TestMailMeanwhile(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		put(t, from, written(t)[:3])
		reads := &watched{place: from, first: func() { meanwhile(t, from) }}
		if r := run(t, reads, to, move.Options{Empty: true}); r.Copied != 4 || r.Removed != 4 || r.Left != 0 {
			t.Errorf("the result is %+v", r)
		}
		if got := listed(t, to); len(got) != 4 || !strings.Contains(got[3].text, "meanwhile") {
			t.Errorf("there are\n%s", show(got))
		}
	})
}

// TestNotes: what devices do not see goes along; where users see the
// destination, what is noted there is newer.
func TestNotes(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		put(t, from, written(t)[:1])
		note := func(s place, key string, text *string) string {
			m, err := s.Open(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if text != nil {
				err = m.(maildrop.Notes).SetNote(t.Context(), key, []byte(*text))
			}
			got, err2 := m.(maildrop.Notes).Note(t.Context(), key)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			return string(got)
		}
		old, new, newest := "old", "new", "newest"
		note(from, "view-phone", &old)
		note(from, "view-tablet", &old)
		run(t, from, to, move.Options{Live: true})
		note(from, "view-phone", &new)
		run(t, from, to, move.Options{Live: true})
		if got := note(to, "view-phone", nil); got != new {
			t.Errorf("the phone's note is %q, want %q", got, new)
		}
		note(to, "view-phone", &newest)
		run(t, from, to, move.Options{Empty: true})
		if got := note(to, "view-phone", nil) + note(to, "view-tablet", nil); got != newest+old {
			t.Errorf("the notes are %q, want %q", got, newest+old)
		}
	})
}

// TestHiddenOnBothSides: what a device has hidden on either side, it does not
// see again at the destination.
func TestHiddenOnBothSides(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		phone := maildrop.View{Device: "phone", Keep: true}
		hide := func(s place, uid string) {
			m, err := view.Open(t.Context(), s, user, phone)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			i := slices.IndexFunc(m.Messages(), func(m maildrop.Message) bool { return m.UID == uid })
			if err := m.Remove(t.Context(), []int{i}); err != nil {
				t.Fatal(err)
			}
		}
		hide(from, letters[0].UID)
		run(t, from, to, move.Options{Live: true})
		hide(to, letters[1].UID)
		hide(from, letters[2].UID)
		run(t, from, to, move.Options{Empty: true})
		m, err := view.Open(t.Context(), to, user, phone)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if got, want := m.Messages(), messagesOf(letters[3:]); !slices.EqualFunc(got, want, func(a, b maildrop.Message) bool { return a.UID == b.UID }) {
			t.Errorf("the phone sees %v, want %v", got, want)
		}
	})
}

// TestDryRun: it tells, and leaves no trace.
func TestDryRun(t *testing.T) {
	root := t.TempDir()
	from, err := maildir.New(maildir.Options{Path: root + "/from/{user}", Hostname: "host"})
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	letters := written(t)
	put(t, from, letters)
	objects := &buckettest.Store{}
	to := newBucket(t, bucket.Options{}, objects)
	opts := move.Options{DryRun: true, Empty: true}
	if r := run(t, from, to, opts); r.Copied != len(letters) || r.Left != len(letters) {
		t.Errorf("the result is %+v", r)
	}
	if keys := objects.Keys("mail", ""); len(keys) != 0 {
		t.Errorf("there are %q", keys)
	}
	other, err := maildir.New(maildir.Options{Path: root + "/{user}/to"})
	if err != nil {
		t.Fatal(err)
	}
	if r := run(t, from, other, opts); r.Copied != len(letters) {
		t.Errorf("into a Maildir that is not there: %+v", r)
	}
	if names, _ := filepath.Glob(root + "/from/*/poplin.note-*"); len(names) != 0 {
		t.Errorf("there are %q", names)
	}
	if _, err := os.Stat(filepath.Join(root, user)); !os.IsNotExist(err) {
		t.Errorf("the Maildir was made: %v", err)
	}
	run(t, from, to, move.Options{Live: true})
	if r := run(t, from, to, opts); r.Copied != 0 || r.There != len(letters) {
		t.Errorf("when all is there: %+v", r)
	}
	want(t, "the source", from, letters)
}

// TestEmptyAndMissing: a maildrop without mail, one that is not there, a store
// that cannot be moved, a note that is damaged.
func TestEmptyAndMissing(t *testing.T) {
	from, to := newMaildirs(t), newBucket(t, bucket.Options{}, nil)
	if r := run(t, from, to, move.Options{Empty: true}); r.Messages+r.Copied+r.Left != 0 {
		t.Errorf("an empty maildrop: %+v", r)
	}
	if _, err := move.New(from, to, move.Options{}).Run(t.Context(), "nobody", nil); err == nil || !strings.Contains(err.Error(), "source: ") {
		t.Errorf("no maildrop: %v", err)
	}
	plain := memory.New()
	plain.Create(user)
	if _, err := move.New(plain, to, move.Options{}).Run(t.Context(), user, nil); !errors.Is(err, maildrop.ErrPermanent) {
		t.Errorf("a store that cannot be moved: %v", err)
	}
	m, err := from.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.(maildrop.Notes).SetNote(t.Context(), "move", []byte("{")); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if _, err := move.New(from, to, move.Options{}).Run(t.Context(), user, nil); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a note that is damaged: %v", err)
	}
}
