package pop3test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func parse(t *testing.T, text string) *Script {
	t.Helper()
	s, err := ParseScript(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// both plays scripts by two players, each with a split of its own.
func both(ctx context.Context, client, server *Script, p Player, split func() Split) (clientErr, serverErr error) {
	a, b := net.Pipe()
	done := make(chan error)
	serverTLS, clientTLS := TLSConfigs()
	atServer, atClient := p, p
	atServer.TLS, atClient.TLS = serverTLS, clientTLS
	atServer.Split, atClient.Split = split(), split()
	go func() { done <- server.PlayServer(ctx, b, atServer) }()
	clientErr = client.PlayClient(ctx, a, atClient)
	return clientErr, <-done
}

const session = `# STLS, APOP, lists and placeholders
S: +OK ...{timestamp}...
C: STLS
S: +OK ...
! tls
C: APOP user {apop:secret}
S: -ERR [AUTH] {any:why}
C: CAPA
C: UIDL 1
S: +OK ...
S+ SASL PLAIN
S- STLS
S: .
S: +OK 1 {uid:1}
! never \x00
! wait 1h
C| QU
C| IT\n
S= +OK ...
S| bye
! server closes
`

// TestPlayersAgree: a script played on both sides is kept to, however it is split.
func TestPlayersAgree(t *testing.T) {
	s := parse(t, session)
	splits := []func() Split{
		func() Split { return Split{} }, Whole, Octets,
		func() Split { return Random(1) }, func() Split { return Random(2) },
	}
	for k := range 40 {
		splits = append(splits, func() Split { return At(k) })
	}
	for _, split := range splits {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			a, b := both(t.Context(), s, s, Player{Delay: time.Second, Timeout: 3 * time.Hour, UIDs: []string{"x"}}, split)
			if a != nil || b != nil {
				t.Errorf("%s: client %v, server %v", split().Name, a, b)
			}
			if since := time.Since(start); since < time.Hour+5*time.Second {
				t.Errorf("%s: took %v, so that delays were left out", split().Name, since)
			}
		})
	}
}

// TestPlayersDiffer: each difference is found, by the side that sees it.
func TestPlayersDiffer(t *testing.T) {
	const plain = "S: +OK ...\nC: NOOP\nS: +OK ...\nS: 1\nS: .\nC: QUIT\nS: +OK ...\n! server closes\n"
	for _, test := range []struct{ client, server, atClient, atServer string }{
		{"S: -ERR ...\n", "S: +OK ...\n", `line 1: want S: -ERR ..., got "+OK at your service"`, ""},
		{"S: +OK ...\n", "S| +OK\\n\n", "bare LF", ""},
		{"S: +OK ...\n", "S| +O\n", "EOF", ""},
		{"S: +OK ...\n", "S| +OKAY\\r\\n\n", "no blank", ""},
		{"S| abc\n", "S| abd\n", `got "abd"`, ""},
		{"S| abc\n", "S| ab\n", `got "ab" and then EOF`, ""},
		{"C: NOOP\nS: +OK\n", "C: STAT\nS: +OK\n", "EOF", `got "NOOP"`},
		{"C: APOP u {apop:x}\n", "C: APOP u {apop:y}\n", "", "got"},
		{"S+ A\nS: .\n", "S: B\nS: .\n", "want S+ A", ""},
		{"S- A\nS: .\n", "S: A x\nS: .\n", "want S- A", ""},
		{"S+ A x\nS: .\n", "S: A y\nS: .\n", "want S+ A x", ""},
		{"S+ A\nS: .\n", "S: A\n", "list without end", ""},
		{"S+ A\nS: .\n", "S| A\\n.\\n\n", "ends in bare LF", ""},
		{"S: +OK {any:a}\nS: +OK {any:a}\n", "S: +OK x\nS: +OK y\n", `{any:a} was "x" before`, ""},
		{"S: {uid:9}\n", "S: 9\n", "want S: {uid:9}", ""},
		{"S: +OK x\n! never OK\n", "S: +OK x\n", "the server sent", ""},
		{"! server closes\n", "S: x\n", `got "x\r\n" before it`, ""},
		{"! server cuts\n", "S: x\nS: .\n", "a terminator ends", ""},
		{"! server closes\n", "! wait 1h\n", "does not close", ""},
		{"S: x\n", "! wait 1h\n", "nothing came", ""},
		{"C: x\n! client closes\n", "! client closes\n", "", `got "x\r\n" before it`},
		{"C: x\n! wait 1h\nC: y\n", "! wait 2h\n", "does not take what is sent", ""},
		{"! tls\n", "S: x\n", "tls", ""},
		{"S: y\n! tls\n", "S| y\\r\\nz\n! wait 1h\n", "came before the handshake", ""},
		{plain, plain, "", ""},
		{plain + "! left 1\n", plain, "needs a maildrop", ""},
		{plain + "! session 2\n", plain, "needs a maildrop", ""},
		{plain, plain + "! session 2\n", "", "needs a maildrop"},
		{plain, plain + "! left 1\n! one write\n! error any\n", "", ""},
	} {
		client, server := parse(t, test.client), parse(t, test.server)
		synctest.Test(t, func(t *testing.T) {
			a, b := both(t.Context(), client, server, Player{}, Whole)
			for side, got := range map[string]error{"client": a, "server": b} {
				want := map[string]string{"client": test.atClient, "server": test.atServer}[side]
				if want != "" && (got == nil || !strings.Contains(got.Error(), want)) || test.atClient+test.atServer == "" && got != nil {
					t.Errorf("%q with %q: %s: %v, want %q", test.client, test.server, side, got, want)
				}
			}
		})
	}
}

func TestPlayWithoutTLS(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	if err := parse(t, "! tls\n").PlayClient(t.Context(), a, Player{}); err == nil || !strings.Contains(err.Error(), "no TLS configuration") {
		t.Errorf("got %v", err)
	}
}

// TestCutAfter: the connection ends behind that octet, wherever the writes end.
func TestCutAfter(t *testing.T) {
	s := parse(t, "S: abc\nC: x\nS: def\n")
	for k := 1; k <= 9; k++ {
		for _, split := range []Split{Whole(), Octets()} {
			a, b := net.Pipe()
			done := make(chan error)
			go func() { done <- s.PlayServer(t.Context(), b, Player{Split: split, CutAfter: k}) }()
			go io.WriteString(a, "x\r\n")
			got, err := io.ReadAll(a)
			a.Close()
			if want := "abc\r\ndef\r\n"[:k]; string(got) != want || err != nil {
				t.Errorf("cut after %d, %s: got %q, %v, want %q", k, split.Name, got, err, want)
			}
			if err := <-done; err == nil {
				t.Errorf("cut after %d, %s: the player says nothing of it", k, split.Name)
			}
		}
	}
}

// TestPlayEndsWithContext: the player waits for nobody when its context ends.
func TestPlayEndsWithContext(t *testing.T) {
	for _, text := range []string{"C: x\n", "S: x\n", "! wait 1h\n", "! client closes\n"} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			a, b := net.Pipe()
			defer a.Close()
			start := time.Now()
			err := parse(t, text).PlayServer(ctx, b, Player{Delay: time.Minute})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
				t.Errorf("%q: %v after %v", text, err, time.Since(start))
			}
		})
	}
}

func TestPipeListener(t *testing.T) {
	l := NewPipeListener()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("dial without anybody who accepts: %v", err)
	}
	if l.Addr().String() != "127.0.0.1:1" {
		t.Errorf("address %s", l.Addr())
	}
	l.Close()
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a closed listener: %v", err)
	}
	if _, err := l.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial to a closed listener: %v", err)
	}
}

// TestClientRunnerNotices: each result that differs from the reply is found.
func TestClientRunnerNotices(t *testing.T) {
	const ready = "# x\nS: +OK ready\n"
	for name, test := range map[string]struct{ says, sends string }{
		"number":       {"C: STAT\nS: +OK 1 2\n", "C: STAT\nS: +OK 1 3\n"},
		"size":         {"C: LIST 1\nS: +OK 1 2\n", "C: LIST 1\nS: +OK 1 3\n"},
		"line of LIST": {"C: LIST\nS: +OK\nS: 1 2\nS: .\n", "C: LIST\nS: +OK\nS: 1 3\nS: .\n"},
		"list shorter": {"C: LIST\nS: +OK\nS: 1 2\nS: .\n", "C: LIST\nS: +OK\nS: .\n"},
		"unique-id":    {"C: UIDL 1\nS: +OK 1 a\n", "C: UIDL 1\nS: +OK 1 b\n"},
		"line of UIDL": {"C: UIDL\nS: +OK\nS: 1 a\nS: .\n", "C: UIDL\nS: +OK\nS: 1 b\nS: .\n"},
		"capability":   {"C: CAPA\nS: +OK\nS: A x\nS: .\n", "C: CAPA\nS: +OK\nS: A y\nS: .\n"},
		"language":     {"C: LANG\nS: +OK\nS: en x\nS: .\n", "C: LANG\nS: +OK\nS: en y\nS: .\n"},
		"tag":          {"C: LANG en\nS: +OK en x\n", "C: LANG en\nS: +OK de x\n"},
		"message":      {"C: RETR 1\nS: +OK\nS: a\nS: .\n", "C: RETR 1\nS: +OK\nS: b\nS: .\n"},
		"dot":          {"C: RETR 1\nS: +OK\nS: ..a\nS: .\n", "C: RETR 1\nS: +OK\nS: .a\nS: .\n" + "C: x\n"},
		"shorter":      {"C: TOP 1 0\nS: +OK\nS: a\nS: b\nS: .\n", "C: TOP 1 0\nS: +OK\nS: a\nS: .\n"},
		"refusal":      {"C: NOOP\nS: -ERR no\n", "C: NOOP\nS: +OK\n"},
		"success":      {"C: NOOP\nS: +OK\n", "C: NOOP\nS: -ERR no\n"},
		"code":         {"C: NOOP\nS: -ERR [AUTH] no\n", "C: NOOP\nS: -ERR [SYS/TEMP] no\n"},
		"text":         {"C: NOOP\nS: -ERR no\n", "C: NOOP\nS: -ERR yes\n"},
		"cut":          {"C: RETR 1\nS: +OK\n! server cuts\n", "C: RETR 1\nS: +OK\nS: .\n"},
		"garbage":      {"C: NOOP\nS: what\n! error protocol\n", "C: NOOP\nS: +OK\n"},
		"any error":    {"C: NOOP\nS: what\n! error any\n", "C: NOOP\nS: +OK\n"},
		"command":      {"C: NOOP\nS: +OK\n", "C: RSET\nS: +OK\n"},
		"password":     {"C: PASS a\nS: +OK\n", "C: PASS b\nS: +OK\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Case{Script: parse(t, ready+test.says)}
			if _, ok := c.Script.calls(); !ok {
				t.Fatal("no session of a client")
			}
			if err := c.RunClient(t, Player{}); err != nil {
				t.Errorf("with the server that it is about: %v", err)
			}
			synctest.Test(t, func(t *testing.T) {
				if err := c.runClient(t.Context(), Player{}, parse(t, ready+test.sends)); err == nil {
					t.Error("noticed nothing")
				}
			})
		})
	}
}

// TestCalls: what no client would send is left to servers.
func TestCalls(t *testing.T) {
	for text, want := range map[string]bool{
		"S: +OK\nC: NOOP\nS: +OK\n":                               true,
		"S: +OK\nC: NOOP\n! server cuts\n":                        true,
		"C: NOOP\nS: +OK\n":                                       false, // no greeting
		"S: +OK\nC: noop\nS: +OK\n":                               false,
		"S: +OK\nC: NOOP 1\nS: +OK\n":                             false,
		"S: +OK\nC: LIST\\x20\nS: +OK\nS: .\n":                    false,
		"S: +OK\nC| NOOP\\r\\n\nS: +OK\n":                         false,
		"S: +OK\nC: RETR 0\nS: -ERR\n":                            false,
		"S: +OK\nC: RETR 01\nS: -ERR\n":                           false,
		"S: +OK\nC: TOP 1 0\nS: -ERR\n":                           true,
		"S: +OK\nC: TOP 1 -1\nS: -ERR\n":                          false,
		"S: +OK\nC: NOOP\nC: NOOP\nS: +OK\nS: +OK\n":              false,
		"S: +OK\nC: AUTH PLAIN AGEAYg==\nS: +OK\n":                false, // asks CAPA first
		"S: +OK\nC: CAPA\nS: -ERR\nC: AUTH PLAIN YQ==\nS: -ERR\n": false,
		"S: +OK\nC: APOP a b\nS: -ERR\n":                          false,
		"S: +OK\nC: RETR 1\nS: +OK\n! client closes\n":            false,
		"S: +OK\nC: STLS\nS: -ERR\nC: QUIT\nS: +OK\n":             false,
		"S: +OK\nC: STLS\nS: -ERR\n! wait 1s\n":                   false,
		"S: +OK\n! session 2\n":                                   false,
		"S: +OK\n! wait 1s\nS: +OK\n":                             false,
	} {
		if _, ok := parse(t, text).calls(); ok != want {
			t.Errorf("%q: %v, want %v", text, ok, want)
		}
	}
}
