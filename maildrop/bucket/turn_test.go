package bucket_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// TestTurn: of several nodes one has the turn, whatever their clocks say, and
// no maildrop is made of it.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{Buckets: 4})
		b.Store.SetClock(func() time.Time { return time.Now().Add(-100 * time.Hour) })
		turn := func(s *bucket.Store, what string, want bool) {
			t.Helper()
			if mine, err := s.Turn(t.Context(), what, 24*time.Hour); err != nil || mine != want {
				t.Errorf("turn of %s is %v, %v; want %v", what, mine, err, want)
			}
		}
		turn(b.Store, "sweep", true)
		turn(b.Store, "sweep", false)
		turn(b.other, "sweep", false)
		turn(b.other, "sweep-other", true)
		time.Sleep(23 * time.Hour)
		turn(b.other, "sweep", false)
		time.Sleep(2 * time.Hour)
		turn(b.other, "sweep", true)
		turn(b.Store, "sweep", false)
		if names, err := b.Names(t.Context()); err != nil || len(names) != 0 {
			t.Errorf("maildrops %q, %v", names, err)
		}
		for _, failing := range []int{1, 2} { // listing, writing
			time.Sleep(25 * time.Hour)
			b.begin(func(n int, _ buckettest.Call) buckettest.Fault {
				if n >= failing {
					return buckettest.Internal
				}
				return buckettest.None
			})
			mine, err := b.Store.Turn(t.Context(), "sweep", 24*time.Hour)
			b.end()
			b.temporary("Turn", err)
			if mine || err == nil {
				t.Errorf("a turn is %v where request %d fails", mine, failing)
			}
		}
		turn(b.other, "sweep", true)
	})
}
