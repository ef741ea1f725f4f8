package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// A transport is how a client reaches the server.
type transport string

const (
	inClear  transport = "clear"
	overSTLS transport = "stls"
	overTLS  transport = "tls"
)

// server is a POP3 server under test with one account.
type server struct {
	plain, tls     string // addresses: clear text until STLS, and implicit TLS
	user, password string
	maildir        maildir // of the account
	authority      authority
}

// addr is where a client of that transport connects.
func (s server) addr(tr transport) string {
	if tr == overTLS {
		return s.tls
	}
	return s.plain
}

// client is a POP3 client under test.
type client struct {
	// visit goes to the maildrop once and gives the messages retrieved.
	visit func(t *testing.T, v visit) [][]byte

	// form is what the client makes of a message as it stands on the wire:
	// no more is undone than the client is known to do.
	form func(wire []byte) []byte

	// noSTLS says that the client knows clear text and implicit TLS alone.
	noSTLS bool

	// remembers says that the client keeps the UIDs of what it retrieved.
	remembers bool
}

// visit is one run of a client.
type visit struct {
	server
	transport transport
	delete    bool   // remove from the server what was retrieved
	state     string // folder for the client's settings and memory, its own
	out       string // folder for the messages of this visit, empty
}

// mailbox is the account's maildrop, past the server.
type mailbox interface {
	// fill puts letters in, in order; so many were put in before.
	fill(t *testing.T, letters []letter, before int)

	// holds fails the test unless just these letters are in, octet by octet.
	holds(t *testing.T, letters []letter)
}

// storeStart starts `poplin serve` with a kind of store.
type storeStart func(t *testing.T, inClear bool) (server, mailbox)

// stores are those that clients are tested with. One transport is enough for
// the second: neither knows of the other.
var stores = []struct {
	name       string
	start      storeStart
	transports []transport
}{
	{"maildir", func(t *testing.T, inClear bool) (server, mailbox) {
		s := startPoplin(t, inClear).server
		return s, s.maildir
	}, []transport{inClear, overSTLS, overTLS}},
	{"bucket", startOnBucket, []transport{overTLS}},
}

// testClient runs a client against `poplin serve` with every store, in its
// transports: it retrieves and keeps, comes back, finds what came meanwhile,
// and deletes.
func testClient(t *testing.T, c client) {
	t.Parallel()
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) { testTransports(t, c, s.start, s.transports) })
	}
}

func testTransports(t *testing.T, c client, start storeStart, transports []transport) {
	for _, tr := range transports {
		if c.noSTLS && tr == overSTLS {
			continue
		}
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			letters := corpus()
			s, mail := start(t, tr == inClear)
			mail.fill(t, letters, 0)

			state := clientDir(t)
			got := c.visit(t, visit{s, tr, false, state, clientDir(t)})
			if d := difference(letters, got, c.form); d != "" {
				t.Fatalf("first visit, keeping:\n%s", d)
			}
			mail.holds(t, letters)

			mail.fill(t, []letter{late()}, len(letters))
			all := append(letters, late())
			want := all
			if c.remembers {
				want = []letter{late()}
			}
			got = c.visit(t, visit{s, tr, false, state, clientDir(t)})
			if d := difference(want, got, c.form); d != "" {
				t.Fatalf("second visit, one message new:\n%s", d)
			}
			if c.remembers {
				if got = c.visit(t, visit{s, tr, false, state, clientDir(t)}); len(got) != 0 {
					t.Fatalf("third visit: %d messages retrieved again", len(got))
				}
			}
			mail.holds(t, all)

			got = c.visit(t, visit{s, tr, true, clientDir(t), clientDir(t)})
			if d := difference(all, got, c.form); d != "" {
				t.Fatalf("last visit, deleting:\n%s", d)
			}
			mail.holds(t, nil)
		})
	}
}

// clientDir makes a folder that a client may write in.
func clientDir(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	if err := os.Chmod(dir, 0o700); err != nil { // fetchmail and getmail insist
		t.Fatal(err)
	}
	giveToNobody(t, dir)
	return dir
}

// writeConfig writes a client's settings, which hold the password.
func writeConfig(t *testing.T, v visit, name, text string) string {
	t.Helper()
	path := filepath.Join(v.state, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	giveToNobody(t, path)
	return path
}

// filesIn reads all files of a folder.
func filesIn(t *testing.T, dir string) [][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// asSent is the form of a client that changes nothing.
func asSent(wire []byte) []byte { return wire }
