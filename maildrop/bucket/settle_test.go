package bucket_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// settle settles the maildrop, or begins an import, in a session of its own.
func (b *box) settle(settled bool) {
	b.Helper()
	m := b.open(b.other)
	defer m.Close()
	if err := m.(maildrop.Importer).Settle(b.Context(), settled); err != nil {
		b.Fatal(err)
	}
}

func (b *box) kept() []string {
	b.Helper()
	m := b.open(b.other)
	defer m.Close()
	uids, err := m.(maildrop.Aside).Kept(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return uids
}

// TestSettle: while an import has not ended, each session keeps aside what it
// removes, for longer than it says, and does so with a listing that is older
// than the import.
func TestSettle(t *testing.T) {
	for name, opts := range map[string]bucket.Options{"strict": {}, "economy": {Economy: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, opts)
				uids := b.fill(5)
				var m maildrop.Maildrop
				if opts.Economy { // it takes the lock later
					m = b.open(b.Store)
				}
				b.settle(false)
				b.settle(false)
				if !opts.Economy {
					m = b.open(b.Store)
				}
				if err := m.Remove(t.Context(), []int{0}); err != nil {
					t.Fatal(err)
				}
				m.Close()
				m = b.open(b.other)
				if err := m.(maildrop.Aside).SetAside(t.Context(), []int{0}, time.Hour); err != nil {
					t.Fatal(err)
				}
				m.Close()
				if u, err := b.Expire(t.Context(), user, time.Now().Add(time.Hour), false); err != nil || u.Messages != 3 {
					t.Errorf("expired are %+v, %v", u, err)
				}
				time.Sleep(maildrop.KeptUnsettled - time.Minute)
				if n, err := b.Undelete(t.Context(), user, time.Time{}); n != len(uids) || err != nil {
					t.Errorf("%d came back, %v; want all", n, err)
				}
				b.settle(true)
				b.settle(true)
				m = b.open(b.other)
				if err := m.Remove(t.Context(), []int{0}); err != nil {
					t.Fatal(err)
				}
				m.Close()
				if kept := b.kept(); len(kept) != 0 {
					t.Errorf("%q are kept aside, and the maildrop is settled", kept)
				}
				for _, key := range b.objects.Keys("mail", "") {
					if strings.Contains(key, "/k/") {
						t.Errorf("%s is left", key)
					}
				}
			})
		})
	}
}

// TestSettleStopped: a session that was stopped while the maildrop was moved
// finds that out when it takes its lock again.
func TestSettleStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		uids := b.fill(2)
		stopped := b.open(b.Store)
		b.begin(func(int, buckettest.Call) buckettest.Fault { return buckettest.Unavailable })
		b.pass()
		b.settle(false)
		b.end()
		if err := stopped.Remove(t.Context(), []int{1}); err != nil {
			t.Fatal(err)
		}
		stopped.Close()
		if kept := b.kept(); !slices.Equal(kept, uids[1:]) {
			t.Errorf("%q are kept aside, want %q", kept, uids[1:])
		}
	})
}

// TestSettleFaults: whatever fails, an error says so, and where Settle says that
// it is done, it is.
func TestSettleFaults(t *testing.T) {
	table(t, func(t *testing.T, _ bool, fault faults) int {
		b := newBox(t, bucket.Options{})
		uids := b.fill(2)
		b.begin(fault)
		m, err := b.Open(t.Context(), user)
		if err == nil {
			err = m.(maildrop.Importer).Settle(t.Context(), false)
			m.Close()
		}
		calls := b.end()
		b.temporary("Settle", err)
		if err != nil {
			return calls
		}
		b.pass()
		m = b.open(b.other)
		defer m.Close()
		if err := m.Remove(t.Context(), []int{0}); err != nil {
			t.Fatal(err)
		}
		if kept, err := m.(maildrop.Aside).Kept(t.Context()); err != nil || !slices.Equal(kept, uids[:1]) {
			t.Errorf("kept aside is %q, %v", kept, err)
		}
		return calls
	})
}

// TestSettleMeanwhile: a session whose lease ends between two tries of a
// request, while another begins an import, removes nothing without a trace, and
// does not end what it does not know.
func TestSettleMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		uids := b.fill(3)
		slow := func() {
			var slow, over atomic.Bool
			b.begin(func(_ int, c buckettest.Call) buckettest.Fault {
				switch {
				case over.Load():
					return buckettest.None
				case slow.Load(): // the lock is not renewed meanwhile
					return buckettest.Unavailable
				case c.Op != "delete":
					return buckettest.None
				}
				slow.Store(true)
				b.pass()
				b.settle(false)
				over.Store(true)
				return buckettest.Unavailable
			})
		}
		m := b.open(b.Store)
		slow()
		if err := m.Remove(t.Context(), []int{0}); err == nil {
			t.Error("messages are removed in the middle of an import")
		}
		if err := m.Remove(t.Context(), []int{0}); err != nil {
			t.Errorf("once more: %v", err)
		}
		slow()
		if err := m.(maildrop.Importer).Settle(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if err := m.Remove(t.Context(), []int{1}); err != nil {
			t.Error(err)
		}
		b.end()
		m.Close()
		kept := b.kept()
		slices.Sort(kept)
		if !slices.Equal(kept, uids[:2]) {
			t.Errorf("%q are kept aside, want %q", kept, uids[:2])
		}
	})
}

// TestAsideEndsAnywhere: what was kept aside because of an import goes when its
// time is up, also where no session sets anything aside.
func TestAsideEndsAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		uids := b.fill(5)
		b.settle(false)
		m := b.open(b.Store)
		if err := m.Remove(t.Context(), []int{0, 1}); err != nil {
			t.Fatal(err)
		}
		m.Close()
		b.settle(true)
		time.Sleep(maildrop.KeptUnsettled - time.Minute)
		b.open(b.Store).Close()
		name, prefix, _ := b.Place(user)
		if n := len(b.objects.Keys(name, prefix+"m/")); n != len(uids) {
			t.Errorf("%d objects are left before the time is up, want %d", n, len(uids))
		}
		time.Sleep(time.Hour)
		b.open(b.Store).Close()
		if keys := b.objects.Keys(name, prefix+"m/"); len(keys) != len(uids)-2 || len(b.kept()) != 0 {
			t.Errorf("left are %q, kept aside %q", keys, b.kept())
		}
	})
}
