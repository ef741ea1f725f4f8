package pop3test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// What a transcript proves is worth no more than what it notices. Each of
// these servers is broken in one way; the transcript named must fail on it,
// and pass on the server that is whole.

// brokenWire replaces octets in what a server sends.
func brokenWire(old, new string) func(Starter) Starter {
	return func(start Starter) Starter {
		return func(t testing.TB, s Setup) func(context.Context) (net.Conn, error) {
			dial := start(t, s)
			return func(ctx context.Context) (net.Conn, error) {
				conn, err := dial(ctx)
				return &replacing{Conn: conn, replace: strings.NewReplacer(old, new)}, err
			}
		}
	}
}

type replacing struct {
	net.Conn
	replace *strings.Replacer
	rest    []byte
}

func (c *replacing) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		buf := make([]byte, 32<<10)
		n, err := c.Conn.Read(buf)
		c.rest = []byte(c.replace.Replace(string(buf[:n])))
		if err != nil {
			return copy(p, c.rest), err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// brokenStore changes every maildrop that a store opens.
func brokenStore(change func(maildrop.Maildrop) maildrop.Maildrop) func(Starter) Starter {
	return func(start Starter) Starter {
		return func(t testing.TB, s Setup) func(context.Context) (net.Conn, error) {
			s.Store = changedStore{s.Store, change}
			return start(t, s)
		}
	}
}

type changedStore struct {
	maildrop.Store
	change func(maildrop.Maildrop) maildrop.Maildrop
}

func (s changedStore) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	drop, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.change(drop), nil
}

// Maildrops that are wrong in one way.
type (
	listing struct { // lists something else
		maildrop.Maildrop
		list []maildrop.Message
	}
	eager     struct{ maildrop.Maildrop } // removes when it is closed
	lazy      struct{ maildrop.Maildrop } // removes nothing
	neighbour struct{ maildrop.Maildrop } // removes the next one
	rewriting struct {                    // gives other octets
		maildrop.Maildrop
		old, new string
	}
)

func (d listing) Messages() []maildrop.Message { return d.list }

func (d eager) Close() error {
	d.Remove(context.Background(), []int{0})
	return d.Maildrop.Close()
}

func (lazy) Remove(context.Context, []int) error { return nil }

func (d neighbour) Remove(ctx context.Context, marked []int) error {
	return d.Maildrop.Remove(ctx, []int{(marked[0] + 1) % len(d.Messages())})
}

func (d rewriting) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	r, err := d.Maildrop.Open(ctx, i)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	r.Close()
	return io.NopCloser(bytes.NewReader(bytes.ReplaceAll(b, []byte(d.old), []byte(d.new)))), err
}

func messages(change func(i int, m *maildrop.Message)) func(maildrop.Maildrop) maildrop.Maildrop {
	return func(d maildrop.Maildrop) maildrop.Maildrop {
		list := append([]maildrop.Message{}, d.Messages()...)
		for i := range list {
			change(i, &list[i])
		}
		return listing{d, list}
	}
}

// lenient takes whatever password.
type lenient struct{ pop3server.Authenticator }

func (lenient) Password(context.Context, pop3server.Login) (pop3server.Account, error) {
	return pop3server.Account{Name: DefaultUser, Maildrop: DefaultUser}, nil
}

func TestMutations(t *testing.T) {
	tests := []struct {
		name, transcript string
		mutate           func(Starter) Starter
	}{
		{"dot at octet 0 not stuffed", "messages/dot-at-octet-0", brokenWire("octets\r\n..first", "octets\r\n.first")},
		{"dot behind bare LF not stuffed", "messages/dot-after-bare-lf", brokenWire("\r\n..dot", "\r\n.dot")},
		{"terminator missing", "messages/one-dot", brokenWire("..\r\n.\r\n", "..\r\n")},
		{"bare LF passed on", "messages/mixed-line-ends", brokenWire("b\r\n", "b\n")},
		{"CR dropped inside a line", "messages/lone-cr", brokenWire("a\rb", "ab")},
		{"NUL dropped", "messages/nul-and-8-bit", brokenWire("\x00", "")},
		{"last line end missing", "messages/no-final-line-end", brokenWire("end\r\n.\r\n", "end.\r\n")},
		{"size off by one", "messages/sizes", brokenWire("1 44\r\n", "1 45\r\n")},
		{"size of the announced list off", "messages/sizes", brokenStore(messages(func(_ int, m *maildrop.Message) { m.Size++ }))},
		{"message altered", "rfc1939/example", brokenStore(func(d maildrop.Maildrop) maildrop.Maildrop { return rewriting{d, "xx", "xy"} })},
		{"unique-id altered", "rfc1939/every-command", brokenStore(messages(func(_ int, m *maildrop.Message) { m.UID += "x" }))},
		{"one unique-id for two", "messages/equal-messages", brokenStore(messages(func(_ int, m *maildrop.Message) { m.UID = "same" }))},
		{"DELE renumbers", "delete/gone-from-everything", brokenWire("3 29\r\n", "2 29\r\n")},
		{"newest one left out", "delete/gone-from-everything", brokenStore(func(d maildrop.Maildrop) maildrop.Maildrop {
			return listing{d, d.Messages()[:len(d.Messages())-1]}
		})},
		{"deletes without QUIT", "delete/connection-lost", brokenStore(func(d maildrop.Maildrop) maildrop.Maildrop { return eager{d} })},
		{"deletes nothing", "delete/all", brokenStore(func(d maildrop.Maildrop) maildrop.Maildrop { return lazy{d} })},
		{"deletes another", "rfc1939/example", brokenStore(func(d maildrop.Maildrop) maildrop.Maildrop { return neighbour{d} })},
		{"response code missing", "login/wrong-password", brokenWire("-ERR [AUTH] ", "-ERR ")},
		{"response code where none is due", "delete/gone-from-everything", brokenWire("-ERR ", "-ERR [SYS/TEMP] ")},
		{"[IN-USE] missing", "login/in-use", brokenWire("[IN-USE]", "[SYS/TEMP]")},
		{"timestamp without APOP", "clear/greeting", brokenWire("ready", "ready <1.2@pop.example>")},
		{"timestamp in another form", "apop/greeting", brokenWire("<", "<x")},
		{"control characters in text", "rfc1939/user-pass", brokenWire("+OK ", "+OK \x07")},
		{"no blank behind the indicator", "rfc1939/user-pass", brokenWire("+OK ", "+OK_")},
		{"status line too long", "rfc1939/user-pass", brokenWire("+OK ", "+OK "+strings.Repeat("x", 510))},
		{"capability missing", "clear/capa-before-login", brokenWire("PIPELINING\r\n", "")},
		{"capability too many", "clear/capa-before-login", brokenWire("UIDL\r\n", "UIDL\r\nSTLS\r\n")},
		{"mechanism missing", "clear/capa-before-login", brokenWire(" LOGIN", "")},
		{"a reply too many", "rfc1939/user-pass", brokenWire("+OK 2 320\r\n", "+OK 2 320\r\n+OK\r\n")},
		{"every password right", "login/wrong-password", func(start Starter) Starter {
			return func(t testing.TB, s Setup) func(context.Context) (net.Conn, error) {
				s.Authenticator = lenient{s.Authenticator}
				return start(t, s)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := find(t, test.transcript)
			if _, err := c.RunServer(t, Poplin, Whole()); err != nil {
				t.Fatalf("on the server that is whole: %v", err)
			}
			if _, err := c.RunServer(t, test.mutate(Poplin), Whole()); err == nil {
				t.Errorf("%s: passes", test.transcript)
			}
		})
	}
}

// TestSplitWrites breaks a server's writes apart: the terminator may not be
// split off, and replies to pipelined commands come in one write.
func TestSplitWrites(t *testing.T) {
	halves := func(start Starter) Starter {
		return func(t testing.TB, s Setup) func(context.Context) (net.Conn, error) {
			dial := start(t, s)
			return func(ctx context.Context) (net.Conn, error) {
				conn, err := dial(ctx)
				return &halving{Conn: conn}, err
			}
		}
	}
	for name, want := range map[string]string{
		"rfc1939/user-pass":    "",
		"rfc1939/example":      "terminator is split",
		"pipelining/one-write": "they came in",
	} {
		_, err := find(t, name).RunServer(t, halves(Poplin), Whole())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: want %q, got %v", name, want, err)
		}
	}
}

// halving hands out what precedes a terminator apart from it.
type halving struct {
	net.Conn
	rest []byte
}

func (c *halving) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		buf := make([]byte, 32<<10)
		n, err := c.Conn.Read(buf)
		if c.rest = buf[:n]; err != nil {
			return 0, err
		}
	}
	b := c.rest
	if i := bytes.Index(b, []byte(".\r\n")); i > 0 {
		b = b[:i]
	}
	n := copy(p, b)
	c.rest = c.rest[n:]
	return n, nil
}

func find(t *testing.T, name string) *Case {
	t.Helper()
	cases, err := Load(transcripts)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no transcript %s", name)
	return nil
}
