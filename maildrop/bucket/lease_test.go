package bucket_test

import (
	"errors"
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

// bubble runs f under a clock that waits for nobody.
func bubble(t *testing.T, f func(t *testing.T, b *box)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBox(t, bucket.Options{})) })
}

func (b *box) open(s *bucket.Store) maildrop.Maildrop {
	b.Helper()
	m, err := s.Open(b.Context(), user)
	if err != nil {
		b.Fatalf("Open: %v", err)
	}
	return m
}

func (b *box) inUse(why string) {
	b.Helper()
	m, err := b.other.Open(b.Context(), user)
	if !errors.Is(err, maildrop.ErrInUse) {
		b.Errorf("%s: Open by another node: %v, want ErrInUse", why, err)
	}
	if err == nil {
		m.Close()
	}
}

func lost(int, buckettest.Call) buckettest.Fault { return buckettest.Lost }

// TestLeaseRenewed: a session that lasts keeps its lock, and leaves none.
func TestLeaseRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, b *box) {
		m := b.open(b.Store)
		for range 100 {
			time.Sleep(bucket.DefaultLease / 4)
			b.inUse("a session of many leases")
		}
		m.Close()
		if keys := b.objects.Keys("mail", ""); len(keys) != 0 {
			t.Errorf("left are %q", keys)
		}
		b.open(b.other).Close()
	})
}

// TestLeaseEnds: the lock of a node that is gone ends with its lease, not
// before, and is swept.
func TestLeaseEnds(t *testing.T) {
	bubble(t, func(t *testing.T, b *box) {
		uids := b.fill(3)
		m := b.open(b.Store)
		b.begin(lost)
		time.Sleep(bucket.DefaultLease * 9 / 10)
		b.inUse("a lock of nine tenths of a lease")
		time.Sleep(bucket.DefaultLease / 2)
		next := b.open(b.other)
		if bucket.Holds(m) {
			t.Error("the node that was gone believes that it holds the lock")
		}
		b.end()
		if err := m.Remove(t.Context(), []int{0}); !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("Remove after the lease, while another session holds the lock: %v", err)
		}
		if text, err := b.read(m, 1); err != nil || text != content(1) {
			t.Errorf("reading after the lease: %.30q, %v", text, err)
		}
		if !slices.Equal(uidsOf(m.Messages()), uids) {
			t.Errorf("the list is %q after the lease", uidsOf(m.Messages()))
		}
		next.Close()
		if err := m.Remove(t.Context(), []int{0}); err != nil {
			t.Errorf("Remove after the lease, when nobody holds the lock: %v", err)
		}
		b.inUse("the lock was taken again")
		m.Close()
		b.want(b.stored(), uids[1:], nil)
		for _, key := range b.objects.Keys("mail", "") {
			if strings.Contains(key, "/k/") {
				t.Errorf("lock %s was left", key)
			}
		}
	})
}

// TestLateNode: a node that slept past its lease, by the clock that goes on
// meanwhile, knows it.
func TestLateNode(t *testing.T) {
	bubble(t, func(t *testing.T, b *box) {
		b.fill(1)
		asleep := time.Duration(0)
		// The monotonic clock stands still while a machine sleeps.
		b.SetClock(func() time.Time { return time.Now().Round(0).Add(asleep) })
		m := b.open(b.Store)
		if !bucket.Holds(m) {
			t.Error("it does not hold the lock")
		}
		asleep = time.Hour
		if bucket.Holds(m) {
			t.Error("it believes that it holds the lock, an hour later")
		}
		m.Close()
	})
}

// TestRenewalTooLate: a renewal whose reply comes when others may have seen
// the lease end says nothing.
func TestRenewalTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, b *box) {
		b.fill(1)
		m := b.open(b.Store)
		b.begin(func(_ int, c buckettest.Call) buckettest.Fault {
			if c.Op == "put" {
				time.Sleep(2 * bucket.DefaultLease) // on its way; the node was stopped
				return buckettest.Unanswered
			}
			return buckettest.None
		})
		time.Sleep(bucket.DefaultLease * 3 / 2)
		next := b.open(b.other)
		time.Sleep(2 * bucket.DefaultLease)
		b.end()
		if bucket.Holds(m) {
			t.Error("it believes that it holds the lock")
		}
		if err := m.Remove(t.Context(), []int{0}); !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("Remove: %v", err)
		}
		next.Close()
		m.Close()
	})
}

// TestRefreshTooLate: the same where a removal asks for more time.
func TestRefreshTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, b *box) {
		b.fill(1)
		m := b.open(b.Store)
		began := time.Now()
		var puts atomic.Int64
		b.begin(func(_ int, c buckettest.Call) buckettest.Fault {
			if c.Op != "put" {
				return buckettest.None
			}
			if time.Since(began) < 90*time.Second {
				return buckettest.Unavailable // it is not renewed
			}
			if puts.Add(1) == 1 {
				return buckettest.Lost
			}
			time.Sleep(25 * time.Second)
			return buckettest.None
		})
		time.Sleep(95 * time.Second) // 10 seconds are left
		removed := make(chan error)
		go func() { removed <- m.Remove(t.Context(), []int{0}) }()
		time.Sleep(45 * time.Second)
		next := b.open(b.other)
		if err := <-removed; !errors.Is(err, maildrop.ErrInUse) {
			t.Errorf("Remove while another session holds the lock: %v", err)
		}
		b.end()
		next.Close()
		m.Close()
	})
}

// TestSlowListing: the lock in a listing that is older than the Date of its
// reply is not taken for older than it is.
func TestSlowListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Timeout: 10 * time.Minute})
		m := b.open(b.other)
		defer m.Close()
		// The lock is about to be renewed; the reply comes before the other
		// node's own lease is over.
		time.Sleep(bucket.DefaultLease/3 - time.Second)
		slow := &slowList{b.gateway, 100 * time.Second}
		s := newStore(t, bucket.Options{Engine: slow, Bucket: "mail", Timeout: 10 * time.Minute, Lease: bucket.DefaultLease})
		if other, err := s.Open(t.Context(), user); err == nil {
			other.Close()
			t.Error("another node opens the maildrop by a listing that came late")
		}
	})
}

// TestClaimed: a session that could not be opened, or has ended, does not keep
// this process out.
func TestClaimed(t *testing.T) {
	bubble(t, func(t *testing.T, b *box) {
		b.begin(func(int, buckettest.Call) buckettest.Fault { return buckettest.Expired })
		if _, err := b.Open(t.Context(), user); err == nil {
			t.Error("Open without credentials succeeds")
		}
		b.end()
		b.open(b.Store).Close()
		b.open(b.Store).Close()
	})
}
