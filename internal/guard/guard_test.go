package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/pop3server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func from(ip, user string) pop3server.Login {
	return pop3server.Login{Username: user, Remote: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 4711))}
}

// try makes a guess that is wrong, right or a fault, and gives the time that
// it had to wait.
func try(t *testing.T, g *Guard, l pop3server.Login, outcome error) time.Duration {
	t.Helper()
	begun := time.Now()
	done, err := g.Attempt(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	done(outcome)
	return time.Since(begun)
}

var wrong = pop3server.ErrBadCredentials

func TestDelaysGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		defer g.Close()
		var delays []time.Duration
		for range 12 {
			delays = append(delays, try(t, g, from("192.0.2.1", "anna"), wrong))
		}
		want := "[0s 0s 0s 0s 0s 500ms 500ms 1s 2s 4s 8s 15s]"
		if got := fmt.Sprint(delays); got != want {
			t.Errorf("delays %s, want %s", got, want)
		}
		if d := try(t, g, from("192.0.2.2", "bert"), wrong); d != 0 {
			t.Errorf("another address waits %s", d)
		}
		time.Sleep(time.Hour)
		if d := try(t, g, from("192.0.2.1", "anna"), wrong); d != 0 {
			t.Errorf("an hour later it waits %s", d)
		}
		if s := g.Stats(); s.Delayed != 7 || s.Refused != 0 || s.Hosts != 2 || s.Users != 2 || s.Known != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestFaultsAndSuccessesAreTakenBack: only a wrong password counts.
func TestFaultsAndSuccessesAreTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		defer g.Close()
		for range 50 {
			if d := try(t, g, from("192.0.2.1", "anna"), nil) + try(t, g, from("192.0.2.1", "anna"), errors.New("database gone")); d != 0 {
				t.Fatalf("waits %s", d)
			}
		}
	})
}

// TestParallelGuesses: 200 guesses at the same time are counted before the
// first is checked; others log in at once.
func TestParallelGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		defer g.Close()
		var mu sync.Mutex
		checked, refused := 0, 0
		var wg sync.WaitGroup
		begun := time.Now()
		for range 200 {
			wg.Go(func() {
				done, err := g.Attempt(t.Context(), from("2001:db8::1", "anna"))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					refused++
					return
				}
				checked++
				defer done(wrong)
			})
		}
		synctest.Wait()
		if d := try(t, g, from("192.0.2.1", "bert"), nil); d != 0 {
			t.Errorf("a bystander waits %s", d)
		}
		wg.Wait()
		if checked > freeHost+perHost || refused < 200-freeHost-perHost {
			t.Errorf("%d were checked, %d refused", checked, refused)
		}
		if took := time.Since(begun); took > maxDelay {
			t.Errorf("took %s", took)
		}
		// The whole /64 is one: a further address of it waits as long as it can.
		if d := try(t, g, from("2001:db8::ffff:1", "carl"), wrong); d != maxDelay {
			t.Errorf("the same /64 waits %s", d)
		}
		if d := try(t, g, from("2001:db8:0:1::1", "carl"), wrong); d != 0 {
			t.Errorf("another /64 waits %s", d)
		}
	})
}

// TestNobodyIsLockedOut: while thousands of addresses guess at a user, those
// that the user has logged in from are not slowed down.
func TestNobodyIsLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{PerUser: 3})
		defer g.Close()
		if d := try(t, g, from("192.0.2.1", "anna"), nil); d != 0 {
			t.Fatalf("waits %s", d)
		}
		for i := range 60 {
			try(t, g, from(fmt.Sprintf("198.51.100.%d", i), "anna"), wrong)
		}
		if d := try(t, g, from("203.0.113.1", "anna"), wrong); d != maxDelay {
			t.Errorf("a stranger waits %s", d)
		}
		if d := try(t, g, from("203.0.113.1", "bert"), wrong); d != 0 {
			t.Errorf("with another user it waits %s", d)
		}
		// Strangers take all the places that there are for one user.
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				if _, err := g.Attempt(ctx, from(fmt.Sprintf("203.0.113.%d", 10+i), "anna")); !errors.Is(err, context.Canceled) {
					t.Errorf("a stranger: %v", err)
				}
			})
		}
		synctest.Wait()
		if _, err := g.Attempt(ctx, from("203.0.113.99", "anna")); err != errBusy {
			t.Errorf("one stranger too many: %v", err)
		}
		if d := try(t, g, from("192.0.2.1", "anna"), nil); d != 0 {
			t.Errorf("the user waits %s", d)
		}
		cancel()
		wg.Wait()
		if g.users.get(g.known.digest("anna", ""), time.Now()).waiting != 0 {
			t.Error("a place is not given back")
		}
	})
}

func TestKnownNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{KnownNetworks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		defer g.Close()
		for range 100 {
			if d := try(t, g, from("192.0.2.200", "anna"), wrong); d != 0 {
				t.Fatalf("waits %s", d)
			}
			if d := try(t, g, pop3server.Login{Username: "anna", Remote: &net.UnixAddr{Name: "x"}}, wrong); d != 0 {
				t.Fatalf("a connection without an address waits %s", d)
			}
		}
		if s := g.Stats(); s.Hosts != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTablesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		defer g.Close()
		for range 30 {
			try(t, g, from("192.0.2.1", "anna"), wrong)
		}
		var a [16]byte
		a[0], a[1] = 0x20, 0x01
		for i := range tableSize + 1000 {
			a[3], a[4], a[5] = byte(i>>16), byte(i>>8), byte(i)
			try(t, g, from(netip.AddrFrom16(a).String(), fmt.Sprint("user", i)), nil)
		}
		if s := g.Stats(); s.Hosts != tableSize || s.Users != tableSize || s.Known != tableSize {
			t.Errorf("%+v", s)
		}
		if d := try(t, g, from("192.0.2.1", "anna"), wrong); d != maxDelay {
			t.Errorf("who guessed is forgotten for those who did not: waits %s", d)
		}
	})
}

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known")
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{State: path})
		g.Start()
		try(t, g, from("192.0.2.1", "anna"), nil)
		time.Sleep(2 * time.Minute)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("after two minutes: %v, %v", info, err)
		}
		try(t, g, from("192.0.2.2", "bert"), nil)
		if err := errors.Join(g.Close(), g.Close()); err != nil {
			t.Error(err)
		}
		data, _ := os.ReadFile(path)
		if strings.Contains(string(data), "anna") || strings.Contains(string(data), "192.0.2") || strings.Count(string(data), "\n") != 3 {
			t.Errorf("file: %s", data)
		}

		g = New(Options{State: path})
		if s := g.Stats(); s.Known != 2 {
			t.Errorf("read again: %+v", s)
		}
		if !g.known.has(g.known.digest("bert", "192.0.2.2/32"), time.Now()) {
			t.Error("bert is forgotten")
		}
		time.Sleep(knownFor)
		try(t, g, from("192.0.2.3", "carl"), nil)
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if s := g.Stats(); s.Known != 1 {
			t.Errorf("ninety days later: %+v", s)
		}
	})
	for _, bad := range []string{"", "junk\n", header + "00\n", header + strings.Repeat("00", 32) + "\nzz 1\n", header + strings.Repeat("00", 32) + "\n0011 1\n"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readPairs(path); err == nil {
			t.Errorf("file %q is taken", bad)
		}
	}
	g := New(Options{State: path})
	if err := g.Close(); err != nil {
		t.Errorf("after a broken file: %v", err)
	}
	if _, err := readPairs(path); err != nil {
		t.Errorf("a broken file is not begun anew: %v", err)
	}
	os.Remove(path)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := New(Options{State: path}).Close(); err == nil {
		t.Error("a folder in its place: no error")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func BenchmarkAttempt(b *testing.B) {
	g := New(Options{})
	defer g.Close()
	l := from("192.0.2.1", "anna")
	for b.Loop() {
		done, err := g.Attempt(b.Context(), l)
		if err != nil {
			b.Fatal(err)
		}
		done(nil)
	}
}

// Clock set forward or back a day: who is known somewhere still is, and the
// next login there is noted as ever.
func TestClockIsSet(t *testing.T) {
	g := New(Options{})
	d := g.known.digest("anna", "192.0.2.1/32")
	now := time.Now()
	g.known.add(d, now)
	for _, shift := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		set := now.Round(0).Add(shift)
		if !g.known.has(d, set) {
			t.Errorf("forgotten where the clock moved by %v", shift)
		}
		g.known.add(d, set)
	}
	if got := g.known.last[d]; got != day(now)+1 {
		t.Errorf("the last login was on day %d, want %d", got, day(now)+1)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}
