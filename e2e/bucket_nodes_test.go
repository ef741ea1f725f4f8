package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// TestBucketNodes: what comes in at one node goes out at the other, with the
// same unique-ids at both; a session at one keeps the other's clients out until
// it ends; what QUIT removes is gone for both.
func TestBucketNodes(t *testing.T) {
	t.Parallel()
	g := startGateways(t)
	nodes := startNodes(t, g, "")
	letters := throughMTA()
	nodes[0].delivers(t, letters...)
	arrived(t, nodes[1].poplinServer, "bela", letters)
	uids := nodes[0].uids(t)
	if len(uids) != len(letters) {
		t.Fatalf("%d messages are listed, want %d", len(uids), len(letters))
	}
	sameUIDs(t, &nodes, uids)
	nodes[1].delivers(t, late())
	letters = append(letters, late())
	arrived(t, nodes[0].poplinServer, "bela", letters)
	uids = nodes[1].uids(t)
	sameUIDs(t, &nodes, uids)

	c := connect(t, nodes[0].server, overTLS)
	busy(t, &nodes[1])
	checkTops(t, c, len(letters))
	if err := c.Dele(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := c.Abort(); err != nil { // without QUIT nothing goes
		t.Fatal(err)
	}
	c = login(t, &nodes[1])
	busy(t, &nodes[0])
	if err := c.Dele(t.Context(), 2, 4, len(letters)); err != nil {
		t.Fatal(err)
	}
	nodes[0].delivers(t, lf("meanwhile", head("meanwhile")+"\nA session is open.\n"))
	quit(t, c)
	left := []string{uids[0], uids[2]}
	left = append(left, uids[4:len(letters)-1]...)
	now := nodes[0].uids(t)
	if len(now) == 0 || !slices.Equal(now[:len(now)-1], left) || slices.Contains(uids, now[len(now)-1]) {
		t.Errorf("after QUIT %q are listed, want %q and what came meanwhile", now, left)
	}
	sameUIDs(t, &nodes, now)

	c = connect(t, nodes[0].server, overSTLS)
	if n := deleteAll(t, c); n != len(now) {
		t.Errorf("%d messages are there, want %d", n, len(now))
	}
	quit(t, c)
	sameUIDs(t, &nodes, nil)
	if files := append(objects(t, g, "/m/"), objects(t, g, "/k/")...); len(files) > 0 {
		t.Errorf("of an empty maildrop there is left: %q", files)
	}
}

// busy fails the test unless a login at the node is told [IN-USE].
func busy(t *testing.T, n *bucketNode) {
	t.Helper()
	_, err := dial(t, n.server, overTLS)
	var refused *pop3.Error
	if !errors.As(err, &refused) || refused.Code != pop3.InUse {
		t.Fatalf("login while the other node has a session: %v, want [IN-USE]", err)
	}
}

// login logs in as soon as the maildrop is free.
func login(t *testing.T, n *bucketNode) *pop3client.Client {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		c, err := dial(t, n.server, overTLS)
		var refused *pop3.Error
		switch {
		case err == nil:
			return c
		case !errors.As(err, &refused) || refused.Code != pop3.InUse || time.Now().After(end):
			t.Fatal(err)
		}
	}
}

// checkTops compares TOP of header, blank line and three lines with RETR.
func checkTops(t *testing.T, c *pop3client.Client, n int) {
	t.Helper()
	read := func(r io.Reader, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for i := range n {
		m, err := c.Retr(t.Context(), i+1)
		whole := read(m, err)
		end := bytes.Index(whole, []byte("\r\n\r\n")) + 4
		for range 3 {
			line := bytes.IndexByte(whole[end:], '\n') + 1
			end += line // the rest may be shorter
		}
		top, err := c.Top(t.Context(), i+1, 3)
		if text := read(top, err); !bytes.Equal(text, whole[:end]) {
			t.Errorf("TOP %d 3 is %s, want %s", i+1, excerpt(text), excerpt(whole[:end]))
		}
	}
}

// TestBucketQuota: what is over the quota is refused at either node, and what
// was there stays.
func TestBucketQuota(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, startGateways(t), "[quota]\nmessages = 3\nover = \"permanent\"\n")
	var letters []letter
	for i := range 3 {
		l := lf("", head(fmt.Sprintf("number %d", i))+"\nHello\n")
		nodes[i%2].delivers(t, l)
		letters = append(letters, l)
	}
	for i := range nodes {
		if reply, err := nodes[i].deliver(late()); err != nil || !strings.HasPrefix(reply, "552 ") {
			t.Fatalf("node %d answers a message too many with %q, %v, want 552", i, reply, err)
		}
	}
	arrived(t, nodes[1].poplinServer, "bela", letters)
	c := connect(t, nodes[0].server, overTLS)
	if err := c.Dele(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	quit(t, c)
	nodes[1].delivers(t, late())
	arrived(t, nodes[0].poplinServer, "bela", append(letters[1:], late()))
}

// TestBucketNodeKilled: a node that dies between RETR and QUIT removes nothing,
// and its lock ends by itself. Then, and not before, the other node lets the
// user in.
func TestBucketNodeKilled(t *testing.T) {
	t.Parallel()
	g := startGateways(t)
	nodes := startNodes(t, g, "")
	letters := throughMTA()
	nodes[0].delivers(t, letters...)
	uids := nodes[0].uids(t)

	c := connect(t, nodes[0].server, overTLS)
	checkTops(t, c, len(letters))
	if n := deleteAll(t, c); n != len(letters) {
		t.Fatalf("%d messages are there, want %d", n, len(letters))
	}
	nodes[0].process.signal(syscall.SIGKILL)
	nodes[0].process.wait(t)
	if locks := objects(t, g, "/k/"); len(locks) != 1 {
		t.Errorf("of a node that died there are the locks %q, want one", locks)
	}
	nodes[1].delivers(t, late()) // needs no lock
	quit(t, login(t, &nodes[1]))
	arrived(t, nodes[1].poplinServer, "bela", append(letters, late()))

	nodes[0].start(t, "")
	now := nodes[0].uids(t)
	if len(now) != len(uids)+1 || !slices.Equal(now[:len(uids)], uids) {
		t.Errorf("after the death of a node %q are listed, want %q and one more", now, uids)
	}
}

// TestBucketNodeStopped: a node that stands still for longer than a lease finds
// out that others have had its maildrop. It removes nothing while somebody has
// it; and where it was let in again, what its own client asked for.
func TestBucketNodeStopped(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, startGateways(t), "")
	letters := throughMTA()
	nodes[0].delivers(t, letters...)
	uids := nodes[1].uids(t)

	c := connect(t, nodes[0].server, overTLS)
	if err := c.Dele(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	nodes[0].process.signal(syscall.SIGSTOP)
	other := login(t, &nodes[1])
	nodes[0].process.signal(syscall.SIGCONT)
	var failed *pop3client.QuitError
	if err := c.Quit(t.Context()); !errors.As(err, &failed) {
		t.Fatalf("QUIT of a session whose lock is another's: %v, want an error", err)
	}
	if err := other.Dele(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	quit(t, other)
	sameUIDs(t, &nodes, append(slices.Clone(uids[:2]), uids[3:]...))
}
