package directory

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3server"
)

// slow turns the secrets of a source into ones that cost much, and counts how
// often one is computed.
func slow(p *PasswdFile) *atomic.Int64 {
	n := new(atomic.Int64)
	for _, s := range p.secrets() {
		s.cheap = false
		inner := s.match
		s.match = func(password string) bool { n.Add(1); return inner(password) }
	}
	return n
}

// TestCacheNeverMixesUsers: two users with one password and even one hash,
// with the cache on and off.
func TestCacheNeverMixesUsers(t *testing.T) {
	for _, keep := range []time.Duration{0, time.Hour} {
		file := source(t, "anna:"+fast+"\nbert:"+fast+"\ncarla:{PLAIN}other\n")
		count := slow(file)
		d := over(t, Options{CacheTime: keep}, file, &book{users: map[string]User{"dora": {Name: "dora", Secret: fast}}})
		for _, user := range []string{"anna", "bert", "anna", "bert", "dora", "ANNA"} {
			account, err := login(t, d, user, "tanstaaf l")
			if err != nil || fold(account.Name) != fold(user) {
				t.Errorf("%s: %+v, %v", user, account, err)
			}
			for _, wrong := range []string{"carla", "nobody"} {
				if _, err := login(t, d, wrong, "tanstaaf l"); !refused(err) {
					t.Errorf("%s got in after %s: %v", wrong, user, err)
				}
			}
			if _, err := login(t, d, user, "tanstaaf L"); !refused(err) {
				t.Errorf("%s: a wrong password after a right one: %v", user, err)
			}
		}
		rights := int64(5) // of anna three times, bert twice; dora's secret is not counted
		if keep > 0 {
			rights = 2
		}
		before := count.Load()
		if wrongs := before - rights; wrongs < 6 {
			t.Errorf("kept for %v: %d hashes", keep, before)
		}
		if _, err := login(t, d, "anna", "tanstaaf l"); err != nil || (count.Load() == before) != (keep > 0) {
			t.Errorf("kept for %v: one more login cost %d hashes, error %v", keep, count.Load()-before, err)
		}
	}
}

func TestCachedPasswordOfAChangedSecret(t *testing.T) {
	file := source(t, "anna:"+fast+"\n")
	slow(file)
	d := over(t, Options{CacheTime: time.Hour}, file)
	if _, err := login(t, d, "anna", "tanstaaf l"); err != nil || len(d.cache.right) != 1 {
		t.Fatalf("%d are remembered, error %v", len(d.cache.right), err)
	}
	for key := range d.cache.right {
		if key == d.cache.sum(0, "bert", fast, "tanstaaf l") || key == d.cache.sum(1, "anna", fast, "tanstaaf l") || key != d.cache.sum(0, "anna", fast, "tanstaaf l") {
			t.Error("an entry is not of its user, source, secret and password alone")
		}
	}
	write(t, file.file.path, "anna:{PLAIN}new\n")
	if err := d.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, d, "anna", "tanstaaf l"); !refused(err) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := login(t, d, "anna", "new"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	write(t, file.file.path, "anna:"+fast+"::::::nologin\n")
	if err := d.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, d, "anna", "tanstaaf l"); !refused(err) {
		t.Errorf("a remembered password of a user who may not log in: %v", err)
	}
}

// TestCacheOfVerify: what a source said is asked again after a while, and a
// refusal each time.
func TestCacheOfVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, password := 0, "one"
		verify := func(_ context.Context, p string) error {
			if asked++; p != password {
				return pop3server.ErrBadCredentials
			}
			return nil
		}
		d := over(t, Options{CacheTime: time.Minute}, &book{users: map[string]User{
			"anna": {Name: "anna", Verify: verify}, "bert": {Name: "bert", Verify: verify}}})
		try := func(user, p string, ok bool, calls int) {
			t.Helper()
			before := asked
			if _, err := login(t, d, user, p); (err == nil) != ok || asked-before != calls {
				t.Errorf("%s with %q: %v after %d calls, want %v after %d", user, p, err, asked-before, ok, calls)
			}
		}
		try("anna", "one", true, 1)
		try("anna", "one", true, 0)
		try("bert", "one", true, 1)
		try("anna", "two", false, 1)
		try("anna", "two", false, 1)
		password = "two"
		try("anna", "one", true, 0)
		time.Sleep(time.Minute)
		try("anna", "one", false, 1)
		try("anna", "two", true, 1)
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(time.Hour)
	for i := range maxCached + 100 {
		if _, err := c.do(t.Context(), c.sum(0, fmt.Sprint(i), "", ""), true, func() (bool, error) { return true, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.right) != maxCached || len(c.flights) != 0 {
		t.Errorf("%d entries and %d flights", len(c.right), len(c.flights))
	}
}

// TestOneComputationForAll: those who wait share what comes out, but for what
// happened to the one who computed.
func TestOneComputationForAll(t *testing.T) {
	down := errors.New("down")
	for name, c := range map[string]struct {
		right bool
		err   error
		calls int
	}{"right": {true, nil, 1}, "wrong": {false, nil, 1}, "fault": {false, down, 1}, "busy": {false, errBusy, 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache := newCache(0)
				var calls atomic.Int64
				for range 3 {
					go func() {
						right, err := cache.do(t.Context(), checkSum{}, true, func() (bool, error) {
							calls.Add(1)
							time.Sleep(time.Second)
							return c.right, c.err
						})
						if right != c.right || !errors.Is(err, c.err) {
							t.Errorf("%v, %v", right, err)
						}
					}()
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if int(calls.Load()) != c.calls || len(cache.flights) != 0 || len(cache.right) != 0 {
					t.Errorf("%d computations, %d under way, %d remembered", calls.Load(), len(cache.flights), len(cache.right))
				}
			})
		})
	}
}

func TestFlightOfOneWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(0)
		leaving, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go c.do(leaving, checkSum{}, true, func() (bool, error) { <-leaving.Done(); return false, leaving.Err() })
		synctest.Wait()
		impatient, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		if _, err := c.do(impatient, checkSum{}, true, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one whose time is up: %v", err)
		}
		if right, err := c.do(t.Context(), checkSum{}, true, func() (bool, error) { return true, nil }); !right || err != nil {
			t.Errorf("one who waited for another that left: %v, %v", right, err)
		}
	})
}

func TestFlightThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(0)
		go func() {
			defer func() { _ = recover() }()
			c.do(t.Context(), checkSum{}, true, func() (bool, error) { time.Sleep(time.Second); panic("fault of a source") })
		}()
		synctest.Wait()
		if right, err := c.do(t.Context(), checkSum{}, true, nil); right || err == nil {
			t.Errorf("one who waited for a panic: %v, %v", right, err)
		}
	})
}
