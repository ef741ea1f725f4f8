package e2e

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// TestBucketGatewayLost: a gateway stands still and then dies while mail comes
// in. What was answered with 250 is there, once; everything else was answered
// otherwise, or goes through the gateway that is left.
func TestBucketGatewayLost(t *testing.T) {
	t.Parallel()
	g := startGateways(t)
	nodes := startNodes(t, g, "")
	if err := g.Stop(0); err != nil {
		t.Fatal(err)
	}
	const all = 40
	var letters [all]letter
	var taken [all]bool
	var work sync.WaitGroup
	for i := range letters {
		letters[i] = lf("", head(fmt.Sprintf("number %d", i))+"\n"+strings.Repeat(".a line\n", 10*i))
		work.Go(func() {
			reply, err := nodes[i%2].deliver(letters[i])
			taken[i] = strings.HasPrefix(reply, "250 ")
			if err != nil || !taken[i] && !strings.HasPrefix(reply, "4") {
				t.Errorf("delivery %d is answered with %q, %v, want 250 or a code that says to try again", i, reply, err)
			}
		})
	}
	time.Sleep(500 * time.Millisecond) // for some to be on their way through it
	g.Kill(0)
	work.Wait()

	got := retrieveAll(t, nodes[1].poplinServer) // fails where one is there twice
	n := 0
	for i := range letters {
		text := got[fmt.Sprintf("Subject: number %d", i)]
		if taken[i] {
			n++
			if !strings.HasSuffix(string(text), string(withoutReturnPath(letters[i]))) {
				t.Errorf("delivery %d was answered with 250, and is %s", i, excerpt(text))
			}
		}
	}
	t.Logf("%d of %d deliveries were taken, %d messages are there", n, all, len(got))
	if n == 0 {
		t.Error("no delivery went through the gateway that is left")
	}

	// The other way round: the one that comes back is enough.
	if err := g.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	g.Kill(1)
	nodes[0].delivers(t, late())
	if now := retrieveAll(t, nodes[1].poplinServer); len(now) != len(got)+1 {
		t.Errorf("%d messages are there, want %d", len(now), len(got)+1)
	}
}

// TestBucketStoreAway: without its store a server answers that it is a fault
// that passes, to logins, to commands of a session that was there before, and
// to deliveries. Nothing is lost, and nothing removed.
func TestBucketStoreAway(t *testing.T) {
	t.Parallel()
	g := startGateways(t)
	nodes := startNodes(t, g, "")
	letters := throughMTA()
	nodes[0].delivers(t, letters...)
	uids := nodes[0].uids(t)

	c := connect(t, nodes[0].server, overTLS)
	m, err := c.Retr(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, m); err != nil {
		t.Fatal(err)
	}
	if err := c.Dele(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	g.Kill(0)
	g.Kill(1)
	temporary := func(what string, err error) {
		t.Helper()
		var refused *pop3.Error
		if !errors.As(err, &refused) || refused.Code != pop3.SysTemp {
			t.Errorf("%s without the store: %v, want [SYS/TEMP]", what, err)
		}
	}
	s := nodes[1].server
	_, err = dial(t, s, overTLS)
	temporary("login", err)
	_, err = c.Retr(t.Context(), 2)
	temporary("RETR", err)
	if reply, err := nodes[1].deliver(late()); err != nil || !strings.HasPrefix(reply, "4") {
		t.Errorf("a delivery without the store is answered with %q, %v, want a code that says to try again", reply, err)
	}
	err = c.Quit(t.Context())
	temporary("QUIT", err)
	var failed *pop3client.QuitError
	if !errors.As(err, &failed) || failed.Deletion != pop3client.NotAllDeleted {
		t.Errorf("QUIT without the store: %v", err)
	}

	for i := range 2 {
		if err := g.Restart(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	quit(t, login(t, &nodes[1])) // the lock that could not be given back ends by itself
	sameUIDs(t, &nodes, uids)
	arrived(t, nodes[1].poplinServer, "bela", letters)
}
