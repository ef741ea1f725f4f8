package bucket_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// keys gives the keys of the maildrop that begin with part, behind its prefix.
func (b *box) keys(part string) []string {
	b.Helper()
	name, prefix, err := b.Place(user)
	if err != nil {
		b.Fatal(err)
	}
	keys := b.objects.Keys(name, prefix+part)
	for i := range keys {
		keys[i] = strings.TrimPrefix(keys[i], prefix)
	}
	return keys
}

// store puts an object, as a request does that comes late, or a store that was
// killed.
func (b *box) store(key, text string) {
	b.Helper()
	name, prefix, err := b.Place(user)
	if err != nil {
		b.Fatal(err)
	}
	if err := b.other2(b.T).Put(b.Context(), name, prefix+key, strings.NewReader(text), int64(len(text))); err != nil {
		b.Fatal(err)
	}
}

// setAside keeps the first messages aside.
func (b *box) setAside(n int, period time.Duration) {
	b.Helper()
	m := b.open(b.other)
	defer m.Close()
	var marked []int
	for i := range n {
		marked = append(marked, i)
	}
	if err := m.(maildrop.Aside).SetAside(b.Context(), marked, period); err != nil {
		b.Fatal(err)
	}
}

// removeFirst removes the first message.
func (b *box) removeFirst() {
	b.Helper()
	m := b.open(b.other)
	defer m.Close()
	if err := m.Remove(b.Context(), []int{0}); err != nil {
		b.Fatal(err)
	}
}

// TestLeftoversAreNoNotes: what a store that keeps objects as files, and was
// killed, left beside a note is none, and neither is what nobody can have
// written.
func TestLeftoversAreNoNotes(t *testing.T) {
	b := newBox(t, bucket.Options{})
	for _, key := range []string{".tmp", ".view-x.sgwtmp.12", "", "A", "a/b", strings.Repeat("a", 65)} {
		b.store("n/"+key, "")
	}
	m := b.open(b.Store)
	defer m.Close()
	if err := m.(maildrop.Notes).SetNote(t.Context(), "view-x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if keys, err := m.(maildrop.Importer).NoteKeys(t.Context()); err != nil || !slices.Equal(keys, []string{"view-x"}) {
		t.Errorf("notes are %q, %v", keys, err)
	}
}

// TestOldSign: what says that an import has not ended says so for as long as
// removals are kept aside because of it. Then it says nothing, as where it was
// stored late, and the next session removes it.
func TestOldSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		uids := b.fill(2)
		b.store("k/unsettled.LATE", "")
		time.Sleep(maildrop.KeptUnsettled - time.Minute)
		b.removeFirst()
		if kept := b.kept(); !slices.Equal(kept, uids[:1]) || !slices.Contains(b.keys("k/"), "k/unsettled.LATE") {
			t.Errorf("%q are kept aside, locks are %q", kept, b.keys("k/"))
		}
		time.Sleep(2 * time.Minute)
		b.removeFirst()
		if kept := b.kept(); !slices.Equal(kept, uids[:1]) {
			t.Errorf("%q are kept aside because of an import of long ago", kept)
		}
		if keys := b.keys("k/"); len(keys) != 0 {
			t.Errorf("%q are left", keys)
		}
	})
}

// TestTidiedIsSeen: when a session has removed what was aside for long enough,
// a node that remembers a listing has no reason to look any more.
func TestTidiedIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Economy: true})
		uids := b.fill(3)
		b.setAside(1, time.Hour)
		b.polls(uids[1:]...)
		lists := func() int {
			n := 0
			b.begin(func(_ int, c buckettest.Call) buckettest.Fault {
				if c.Op == "list" {
					n++
				}
				return buckettest.None
			})
			m := b.open(b.Store)
			if _, err := b.read(m, 0); err != nil {
				t.Error(err)
			}
			m.Close()
			b.end()
			return n
		}
		before := lists()
		time.Sleep(2 * time.Hour)
		b.open(b.other).Close()
		if n := len(b.keys("m/")) + len(b.keys("a/")); n != len(uids)-1 {
			t.Errorf("%d objects are left", n)
		}
		lists()
		if n := lists(); n != before {
			t.Errorf("%d listings a session, and %d when nothing was aside for long enough", n, before)
		}
	})
}

// TestExpireOnlyTells: what only tells what would be removed removes nothing,
// also of what was aside for long enough.
func TestExpireOnlyTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		b.fill(2)
		b.setAside(1, time.Hour)
		time.Sleep(2 * time.Hour)
		before := b.keys("")
		if u, err := b.Expire(t.Context(), user, time.Now(), true); err != nil || u.Messages != 1 {
			t.Errorf("it tells %+v, %v", u, err)
		}
		if after := b.keys(""); !slices.Equal(before, after) {
			t.Errorf("left are %q of %q", after, before)
		}
		if u, err := b.Expire(t.Context(), user, time.Now(), false); err != nil || u.Messages != 1 {
			t.Errorf("it removes %+v, %v", u, err)
		}
		if keys := append(b.keys("m/"), b.keys("a/")...); len(keys) != 0 {
			t.Errorf("left are %q", keys)
		}
	})
}

// stray leaves a marker whose message has been removed.
func (b *box) stray(list []maildrop.Message) {
	b.Helper()
	if err := b.take(b.Store, list, none); err != nil {
		b.Fatal(err)
	}
	b.settle(true)
	b.setAside(len(list), time.Hour)
	time.Sleep(2 * time.Hour)
	b.begin(func(_ int, c buckettest.Call) buckettest.Fault {
		if c.Op == "delete" && strings.Contains(c.Keys[0], "/a/") {
			return buckettest.Dead
		}
		return buckettest.None
	})
	b.open(b.Store).Close()
	b.end()
	if m, a := b.keys("m/"), b.keys("a/"); len(m) != 0 || len(a) != len(list) {
		b.Fatalf("left are %q and %q", m, a)
	}
}

// TestStrayMarker: a marker that was left when its message was removed neither
// hides nor removes the same message where that is taken in again, and goes with
// the session that follows.
func TestStrayMarker(t *testing.T) {
	list := []maildrop.Message{{UID: "X", Received: time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC), Size: int64(len(content(0)))}}
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		b.stray(list)
		if err := b.take(b.Store, list, none); err != nil {
			t.Fatal(err)
		}
		b.settle(true)
		for range 2 {
			b.want(b.stored(), uidsOf(list), nil)
		}
		if keys := b.keys("a/"); len(keys) != 0 {
			t.Errorf("left are %q", keys)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		b.stray(list)
		b.open(b.Store).Close()
		if keys := b.keys("a/"); len(keys) != 0 {
			t.Errorf("a session leaves %q", keys)
		}
	})
}
