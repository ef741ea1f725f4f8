package e2e

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3client"
)

// A peer is somebody else's server, as Poplin's client meets it.
type peer struct {
	start func(t *testing.T) server

	// form is what the server sends of a letter: no more differs than the
	// server is known to change.
	form func(wire []byte) []byte

	// own takes out what the server adds of its own to a message.
	own func(got []byte) []byte

	// top is what the server sends for TOP of header, blank line and lines.
	top func(want []byte) []byte

	// sizesOff names letters of which the server does not send as many octets
	// as it announces.
	sizesOff []string

	// lazy tells that QUIT is answered before what was marked is gone.
	lazy bool

	// cannot names letters that the server cannot send, with the reason.
	cannot map[string]string
}

// TestFromDovecot: Dovecot 2.3.19 does not stuff a dot that is the very first
// octet of a message, so that a client takes it off as stuffing. It ends a
// message that has no line end with one that its sizes do not count.
func TestFromDovecot(t *testing.T) {
	testPeer(t, peer{
		start:    startDovecot,
		form:     func(wire []byte) []byte { return bytes.TrimPrefix(wire, []byte(".")) },
		own:      asSent,
		top:      asSent,
		sizesOff: []string{"dot at octet 0", "dot without final newline", "no final newline"},
	})
}

// TestFromMailutils: pop3d of GNU Mailutils 3.15 ends each header with the
// unique-id in a field X-UIDL. It ends a message that has no line end with one
// that its sizes do not count. TOP has two blank lines after the header.
func TestFromMailutils(t *testing.T) {
	testPeer(t, peer{
		start:    startMailutils,
		form:     asSent,
		own:      withoutXUIDL,
		top:      func(want []byte) []byte { return bytes.Replace(want, []byte("\r\n\r\n"), []byte("\r\n\r\n\r\n"), 1) },
		sizesOff: []string{"dot without final newline", "no final newline"},
		cannot: map[string]string{
			"dots stored with CRLF":  "it expects LF in a Maildir and finds no end of the header",
			"bare LF and CRLF mixed": "it sends CR CR LF",
			"header only":            "it sends the field X-UIDL alone",
			"body without header":    "it takes the first lines for a header",
		},
	})
}

// withoutXUIDL takes the first field X-UIDL out.
func withoutXUIDL(got []byte) []byte {
	before, after, found := bytes.Cut(got, []byte("X-UIDL: "))
	if !found {
		return got
	}
	_, rest, _ := bytes.Cut(after, []byte("\r\n"))
	return append(bytes.Clone(before), rest...)
}

// testPeer runs Poplin's client against a server in every transport: it
// retrieves and keeps, comes back for what is new, and deletes.
func testPeer(t *testing.T, p peer) {
	t.Parallel()
	for _, tr := range []transport{inClear, overSTLS, overTLS} {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			s := p.start(t)
			letters := without(corpus(), p.cannot)
			s.maildir.fill(t, letters, 0)

			seen := make(map[string]bool)
			c := connect(t, s, tr)
			retrieve(t, c, p, letters, seen)
			checkTop(t, c, p)
			quit(t, c)
			if n := len(s.maildir.files(t)); n != len(letters) {
				t.Fatalf("%d messages on the server after a visit that kept all, want %d", n, len(letters))
			}

			s.maildir.fill(t, []letter{late()}, len(letters))
			c = connect(t, s, tr)
			retrieve(t, c, p, []letter{late()}, seen)
			quit(t, c)

			c = connect(t, s, tr)
			if err := c.Dele(t.Context(), 1, 2); err != nil {
				t.Fatal(err)
			}
			if err := c.Abort(); err != nil {
				t.Fatal(err)
			}
			c = connect(t, s, tr)
			all := deleteAll(t, c)
			if all != len(letters)+1 {
				t.Fatalf("%d messages after a visit that was cut, want %d: nothing is deleted then", all, len(letters)+1)
			}
			quit(t, c)
			p.awaitEmpty(t, s)
			if files := s.maildir.files(t); len(files) != 0 {
				t.Errorf("%d messages on the server after all were deleted", len(files))
			}
		})
	}
}

// awaitEmpty waits until a lazy server has deleted all.
func (p peer) awaitEmpty(t *testing.T, s server) {
	for end := time.Now().Add(patience); p.lazy && len(s.maildir.files(t)) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

// connect logs in.
func connect(t *testing.T, s server, tr transport) *pop3client.Client {
	t.Helper()
	c, err := dial(t, s, tr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dial connects and logs in, within patience.
func dial(t *testing.T, s server, tr transport) (*pop3client.Client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	opts := &pop3client.Options{TLSConfig: s.authority.config(), Timeout: patience}
	call := map[transport]func(context.Context, string, *pop3client.Options) (*pop3client.Client, error){
		inClear: pop3client.DialInsecure, overSTLS: pop3client.DialSTLS, overTLS: pop3client.Dial,
	}[tr]
	c, err := call(ctx, s.addr(tr), opts)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Abort() })
	if err := c.Login(ctx, s.user, s.password); err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// retrieve retrieves what is not among the unique-ids seen, checks it against
// the letters, and adds it to seen.
func retrieve(t *testing.T, c *pop3client.Client, p peer, letters []letter, seen map[string]bool) {
	t.Helper()
	stat, err := c.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	uids, err := c.Uidl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(uids) != stat.Messages || len(uids) != len(seen)+len(letters) {
		t.Fatalf("STAT says %d messages, UIDL %d, want %d", stat.Messages, len(uids), len(seen)+len(letters))
	}
	var numbers []int
	for _, u := range uids {
		if !seen[u.UID] {
			numbers = append(numbers, u.Number)
		}
	}
	var got [][]byte
	for m, err := range c.RetrieveAll(t.Context(), pop3client.RetrieveOptions{Numbers: numbers}) {
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(m)
		if err != nil {
			t.Fatalf("message %d: %v", m.Number, err)
		}
		l := letters[min(len(got), len(letters)-1)]
		if m.Size != int64(len(text)) && !slices.Contains(p.sizesOff, l.name) {
			t.Errorf("%q: the server announces %d octets and sends %d", l.name, m.Size, len(text))
		}
		if seen[m.UID] {
			t.Errorf("message %d: unique-id %q was there before", m.Number, m.UID)
		}
		seen[m.UID] = true
		got = append(got, p.own(text))
	}
	if len(got) != len(letters) {
		t.Fatalf("%d messages retrieved, want %d", len(got), len(letters))
	}
	for i, l := range letters {
		if want := p.form(l.wire); !bytes.Equal(got[i], want) {
			t.Errorf("%q differs:\n got %s\nwant %s", l.name, excerpt(got[i]), excerpt(want))
		}
	}
}

// checkTop compares TOP with what RETR gives of the first message.
func checkTop(t *testing.T, c *pop3client.Client, p peer) {
	t.Helper()
	m, err := c.Top(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	top, err := io.ReadAll(m)
	if err != nil {
		t.Fatal(err)
	}
	top = p.own(top)
	wire := corpus()[0].wire
	end := bytes.Index(wire, []byte("\r\n\r\n")) + 4
	end += bytes.Index(wire[end:], []byte("\r\n")) + 2
	if want := p.top(wire[:end]); !bytes.Equal(top, want) {
		t.Errorf("TOP 1 1: got %s, want %s", excerpt(top), excerpt(want))
	}
}

// deleteAll marks all messages and says how many they are.
func deleteAll(t *testing.T, c *pop3client.Client) int {
	t.Helper()
	list, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, l := range list {
		numbers = append(numbers, l.Number)
	}
	if err := c.Dele(t.Context(), numbers...); err != nil {
		t.Fatal(err)
	}
	return len(numbers)
}

func quit(t *testing.T, c *pop3client.Client) {
	t.Helper()
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
