package bucket_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

func economy(t *testing.T, f func(t *testing.T, b *box)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBox(t, bucket.Options{Economy: true})) })
}

// polls counts the requests of a login that does nothing.
func (b *box) polls(want ...string) int {
	b.Helper()
	before := b.gateway.Calls()
	m := b.open(b.Store)
	if got := uidsOf(m.Messages()); !slices.Equal(got, want) {
		b.Errorf("listed are %q, want %q", got, want)
	}
	m.Close()
	return b.gateway.Calls() - before
}

// TestEconomyRequests: a poll is one request where nothing came, and nothing
// that came or went is missed.
func TestEconomyRequests(t *testing.T) {
	economy(t, func(t *testing.T, b *box) {
		uids := b.fill(3)
		for i, want := range []int{2, 1, 1} {
			if n := b.polls(uids...); n != want {
				t.Errorf("poll %d: %d requests, want %d", i, n, want)
			}
		}
		uids = append(uids, b.fill(1)...)
		if n := b.polls(uids...); n != 2 {
			t.Errorf("%d requests where one came, want 2", n)
		}
		m := b.open(b.other)
		if err := m.Remove(t.Context(), []int{1}); err != nil {
			t.Fatal(err)
		}
		m.Close()
		uids = slices.Delete(uids, 1, 2)
		b.polls(uids...)
		if n := b.polls(uids...); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
		time.Sleep(7 * time.Hour)
		if n := b.polls(uids...); n != 2 {
			t.Errorf("%d requests for a listing that was remembered for long, want 2", n)
		}
	})
}

// TestEconomyLock: the first RETR or removal takes the lock, and fails where
// another session has it.
func TestEconomyLock(t *testing.T) {
	economy(t, func(t *testing.T, b *box) {
		uids := b.fill(3)
		m := b.open(b.Store)
		holder := b.open(b.other)
		if _, err := m.Open(t.Context(), 0); !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("reading while another session holds the lock: %v", err)
		}
		if err := m.Remove(t.Context(), []int{0}); !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("removing while another session holds the lock: %v", err)
		}
		if err := m.(maildrop.Notes).SetNote(t.Context(), "a", nil); !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("a note while another session holds the lock: %v", err)
		}
		if err := holder.Remove(t.Context(), []int{1}); err != nil {
			t.Fatal(err)
		}
		holder.Close()
		if text, err := b.read(m, 0); err != nil || text != content(0) {
			t.Errorf("reading: %.30q, %v", text, err)
		}
		b.inUse("a message was read")
		if _, err := m.Open(t.Context(), 1); !errors.Is(err, maildrop.ErrGone) {
			t.Errorf("reading what another session removed: %v, want ErrGone", err)
		}
		if err := m.Remove(t.Context(), []int{0, 1}); err != nil {
			t.Errorf("Remove: %v", err)
		}
		m.Close()
		b.want(b.stored(), uids[2:], nil)
	})
}

// TestGenerationOnce: a generation is never written twice, for listings that
// were right then would be taken for right again.
func TestGenerationOnce(t *testing.T) {
	economy(t, func(t *testing.T, b *box) {
		seen := make(map[string]bool)
		bucketName, prefix, _ := b.Place(user)
		watch := func() {
			if o, err := b.other2(t).Get(t.Context(), bucketName, prefix+"g", bucket.How{}); err == nil {
				seen[o.ETag] = true
			}
		}
		writes := 0
		b.begin(func(_ int, c buckettest.Call) buckettest.Fault {
			watch()
			if c.Op == "put" && strings.HasSuffix(c.Key, "/g") {
				writes++
				if writes < 3 {
					return buckettest.Unanswered
				}
			}
			return buckettest.None
		})
		if _, err := b.Deliver(t.Context(), user, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		watch()
		b.end()
		if len(seen) != 3 || writes != 3 {
			t.Errorf("%d writes made %d generations, want 3 of 3", writes, len(seen))
		}
	})
}

// other2 is a way to the objects that meets no faults and is not counted.
func (b *box) other2(t *testing.T) *buckettest.Gateway { return &buckettest.Gateway{Store: b.objects} }

// TestEconomyStale: a listing that does not show the generation that was read
// is not believed.
func TestEconomyStale(t *testing.T) {
	economy(t, func(t *testing.T, b *box) {
		b.fill(2)
		b.begin(func(_ int, c buckettest.Call) buckettest.Fault { return buckettest.Stale })
		if m, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrTemporary) {
			t.Errorf("Open by stale listings: %v, %v", m, err)
		}
		b.end()
	})
}

// TestCacheIsBounded: listings are remembered for so many messages, and those
// used last.
func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Economy: true, CacheMessages: 10})
		poll := func(name string) int {
			before := b.gateway.Calls()
			m, err := b.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			m.Close()
			return b.gateway.Calls() - before
		}
		for _, name := range []string{"a", "b", "c", "big"} {
			n := 3
			if name == "big" {
				n = 10
			}
			for range n {
				if _, err := b.Deliver(t.Context(), name, strings.NewReader("x")); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, c := range []struct {
			name string
			want int
		}{{"a", 2}, {"b", 2}, {"a", 1}, {"c", 2}, {"a", 1}, {"b", 2}, {"big", 2}, {"big", 2}} {
			if n := poll(c.name); n != c.want {
				t.Errorf("poll %d, of %s: %d requests, want %d", i, c.name, n, c.want)
			}
		}
	})
}
