package directory

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

var (
	here  = netip.MustParsePrefix("192.0.2.1/32")
	there = netip.MustParsePrefix("198.51.100.1/32")
)

func TestPasswordContext(t *testing.T) {
	file := source(t, "anna:"+fast)
	slow(file)
	d := over(t, Options{}, file)
	leave, err := d.gate.enter(t.Context(), here, hashMemory)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Password(ctx, by("USER", "anna", "tanstaaf l"))
	if !errors.Is(err, context.Canceled) || refused(err) {
		t.Errorf("a login that waits when its context ends: %v", err)
	}
	leave()
	if _, err := login(t, d, "anna", "tanstaaf l"); err != nil {
		t.Errorf("after the gate opened: %v", err)
	}
}

// TestCheapSecretsPass: what costs next to nothing does not wait for what
// costs much.
func TestCheapSecretsPass(t *testing.T) {
	d := open(t, "anna:"+fast+"\nbert:{PLAIN}x\nscram:{SCRAM-SHA-1}4096,qHXc4I2xwhOcmPOKYOzu8g==,0jyN8qMpci99T+KVjE9dOprW5uM=,Cz6SbGBGRBt/yo7PDEtq7F+CsXM=\n")
	leave, err := d.gate.enter(t.Context(), here, hashMemory)
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	for user, password := range map[string]string{"anna": "tanstaaf l", "bert": "x", "scram": "tanstaaf l"} {
		if _, err := login(t, d, user, password); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(100)
		g.share = 30
		first, _ := g.enter(t.Context(), here, 0) // counts for 30
		big := make(chan func())
		small := make(chan func())
		go func() { leave, _ := g.enter(t.Context(), here, 1000); big <- leave }() // the whole of it
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, place := range []netip.Prefix{here, there} {
			if _, err := g.enter(ctx, place, 40); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("overtook one that waits: %v", err)
			}
		}
		go func() { leave, _ := g.enter(t.Context(), there, 40); small <- leave }()
		synctest.Wait()
		first()
		leaveBig := <-big
		select {
		case <-small:
			t.Fatal("two are in that need 140 of 100")
		default:
		}
		leaveBig()
		(<-small)()
		if g.free != 100 || len(g.turns) != 0 || len(g.lines) != 0 {
			t.Errorf("free %d, waiting %d and %d after all left", g.free, len(g.turns), len(g.lines))
		}
	})
}

// TestGateIsFair covers "200 parallel guesses from one address": another
// address waits for one of them at most that is not computed yet, and all but
// a few of the 200 are turned away at once.
func TestGateIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const running = 2
		g := newGate(running)
		g.share = 1
		var mu sync.Mutex
		var order []netip.Prefix
		busy := 0
		guess := func(place netip.Prefix) {
			leave, err := g.enter(t.Context(), place, 1)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				var e *pop3.Error
				if !errors.As(err, &e) || !e.Temporary() {
					t.Errorf("turned away with %v", err)
				}
				busy++
				return
			}
			order = append(order, place)
			time.AfterFunc(time.Second, leave)
		}
		for range 200 {
			go guess(here)
		}
		synctest.Wait()
		if busy != 200-running-maxWaiting {
			t.Errorf("%d of 200 were turned away, want all but %d", busy, running+maxWaiting)
		}
		go guess(there)
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		before := 0
		for order[before] != there {
			before++
		}
		if before > running+1 || len(order) != running+maxWaiting+1 {
			t.Errorf("the other address was served after %d of %d", before, len(order))
		}
		if g.free != running || len(g.turns) != 0 || len(g.lines) != 0 {
			t.Errorf("free %d, waiting %d and %d after all left", g.free, len(g.turns), len(g.lines))
		}
	})
}
