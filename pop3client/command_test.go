package pop3client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3"
)

// CR, LF and NUL in any argument, numbers out of range, and lines longer than
// 255 octets are errors before anything is sent.
func TestArguments(t *testing.T) {
	c := connect(t, "C: NOOP\nS: +OK")
	ctx := t.Context()
	calls := map[string]func() error{
		"RETR 0":       func() error { _, err := c.Retr(ctx, 0); return err },
		"RETR -1":      func() error { _, err := c.Retr(ctx, -1); return err },
		"TOP 0":        func() error { _, err := c.Top(ctx, 0, 1); return err },
		"TOP lines":    func() error { _, err := c.Top(ctx, 1, -1); return err },
		"LIST 0":       func() error { _, err := c.ListOne(ctx, 0); return err },
		"UIDL 0":       func() error { _, err := c.UidlOne(ctx, pop3.MaxMessages+1); return err },
		"DELE 0":       func() error { return c.Dele(ctx, 1, 0) },
		"USER empty":   func() error { return c.User(ctx, "") },
		"LANG empty":   func() error { _, err := c.Lang(ctx, ""); return err },
		"LANG blank":   func() error { _, err := c.Lang(ctx, "en de"); return err },
		"USER 250":     func() error { return c.User(ctx, strings.Repeat("x", 249)) },
		"PASS 250":     func() error { return c.Pass(ctx, strings.Repeat("x", 249)) },
		"RetrieveAll":  func() error { return firstError(c, ctx, RetrieveOptions{Numbers: []int{0}}) },
		"STLS no name": func() error { return c.STLS(ctx, nil) },
	}
	c.caps, c.capsKnown = nil, true
	for _, bad := range []string{"a\rb", "a\nb", "a\x00b", "a\r\nDELE 1"} {
		calls["USER "+bad] = func() error { return c.User(ctx, bad) }
		calls["PASS "+bad] = func() error { return c.Pass(ctx, bad) }
		calls["LANG "+bad] = func() error { _, err := c.Lang(ctx, bad); return err }
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, ErrArgument) {
			t.Errorf("%q: %v, want ErrArgument", name, err)
		} else if strings.Contains(err.Error(), "xxx") {
			t.Errorf("the error repeats the argument: %v", err)
		}
	}
	must(t, c.Noop(ctx))
}

func firstError(c *Client, ctx context.Context, opts RetrieveOptions) error {
	for _, err := range c.RetrieveAll(ctx, opts) {
		if err != nil {
			return err
		}
	}
	return nil
}

// A refusal that says nothing is an error that says so.
func TestRefusalWithoutReason(t *testing.T) {
	c := connect(t, "C: NOOP\nS: -ERR")
	err := c.Noop(t.Context())
	wantRefusal(t, err, "", "")
	if want := "pop3client: NOOP: -ERR without a reason"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// The longest lines that may be sent are sent.
func TestLongestLine(t *testing.T) {
	name := strings.Repeat("x", pop3.MaxCommandLine-len("USER \r\n"))
	c := connect(t, "C: USER "+name+"\nS: +OK")
	must(t, c.User(t.Context(), name))
}

// calls are one of each command, for tests about what all have in common.
func calls(c *Client, ctx context.Context) map[string]func() error {
	return map[string]func() error{
		"CAPA":   func() error { _, err := c.Capa(ctx); return err },
		"STAT":   func() error { _, err := c.Stat(ctx); return err },
		"LIST":   func() error { _, err := c.List(ctx); return err },
		"LIST 1": func() error { _, err := c.ListOne(ctx, 1); return err },
		"UIDL":   func() error { _, err := c.Uidl(ctx); return err },
		"UIDL 1": func() error { _, err := c.UidlOne(ctx, 1); return err },
		"RETR 1": func() error { _, err := c.Retr(ctx, 1); return err },
		"TOP 1 0": func() error {
			_, err := c.Top(ctx, 1, 0)
			return err
		},
		"DELE 1":  func() error { return c.Dele(ctx, 1) },
		"RSET":    func() error { return c.Rset(ctx) },
		"NOOP":    func() error { return c.Noop(ctx) },
		"UTF8":    func() error { return c.UTF8(ctx) },
		"LANG":    func() error { _, err := c.Langs(ctx); return err },
		"LANG en": func() error { _, err := c.Lang(ctx, "en"); return err },
		"USER u":  func() error { return c.User(ctx, "u") },
		"PASS zz": func() error { return c.Pass(ctx, "zz") },
		"AUTH PLAIN AHUAeno=": func() error {
			c.caps, c.capsKnown = pop3.Capabilities{{Name: "SASL", Args: []string{"PLAIN"}}}, true
			return c.Login(ctx, "u", "zz")
		},
	}
}

// A negative reply to any command is a *pop3.Error with its code, and the
// session goes on; garbage breaks it; so does the end of the connection.
func TestReplies(t *testing.T) {
	for name := range calls(nil, nil) {
		t.Run(name, func(t *testing.T) {
			c := connect(t, "C: "+name+"\nS: -ERR [SYS/TEMP] later\nC: NOOP\nS: +OK")
			err := calls(c, t.Context())[name]()
			wantRefusal(t, err, pop3.SysTemp, "later")
			var e *pop3.Error
			if errors.As(err, &e) && !e.Temporary() {
				t.Error("the error is not temporary")
			}
			must(t, c.Noop(t.Context()))

			c = connect(t, "C: "+name+"\nS: 220 smtp.example.org \x1b[31mESMTP")
			err = calls(c, t.Context())[name]()
			wantProtocolError(t, c, err, `"220 smtp.example.org ?[31mESMTP" is neither`)

			c = connect(t, "C: "+name+"\nS: +OK "+strings.Repeat("x", pop3.MaxAuthLine))
			wantProtocolError(t, c, calls(c, t.Context())[name](), "too long")

			c = connect(t, "C: "+name+"\nS+ +OK\nCLOSE")
			err = calls(c, t.Context())[name]()
			wantUnexpectedEOF(t, err)
			wantBroken(t, c, err)
		})
	}
}

// Lists that lie are named errors that break the session.
func TestListsThatLie(t *testing.T) {
	opts := &Options{MaxListings: 3, InsecureAuth: true}
	for _, test := range []struct{ command, lines, part string }{
		{"LIST", "S: 0 10\nS: .", "scan listing"},
		{"LIST", "S: -1 10\nS: .", "scan listing"},
		{"LIST", "S: 1 -5\nS: .", "scan listing"},
		{"LIST", "S: 1 1e30\nS: .", "scan listing"},
		{"LIST", "S: 1 99999999999999999999\nS: .", "scan listing"},
		{"LIST", "S: 4294967297 10\nS: .", "scan listing"},
		{"LIST", "S: hello\nS: .", "scan listing"},
		{"LIST", "S:\nS: .", "scan listing"},
		{"LIST", "S: 1 10\nS: 2 10\nS: 1 10\nS: .", "listed twice"},
		{"LIST", "S* 4 9 9", "more than 3 lines"},
		{"LIST", "S: " + strings.Repeat("1", maxReplyLine), "too long"},
		{"UIDL", "S: 1\nS: .", "unique-id listing"},
		{"UIDL", "S: 1 \nS: .", "unique-id listing"},
		{"UIDL", "S: 0 a\nS: .", "unique-id listing"},
		{"UIDL", "S: 1 " + strings.Repeat("u", 71) + "\nS: .", "unique-id listing"},
		{"UIDL", "S: 1 a\x7f\nS: .", "unique-id listing"},
		{"UIDL", "S: 2 a\nS: 2 b\nS: .", "listed twice"},
		{"UIDL", "S: 1 a\nS: 2 a\nS: 3 a\nS: 4 a", "more than 3 lines"},
		{"CAPA", "S* 257 X", "more than 256 lines"},
		{"LANG", "S* 1001 en English", "more than 1000 lines"},
	} {
		c := connectWith(t, opts, "C: "+test.command+"\nS: +OK\n"+test.lines+"\nCLOSE")
		wantProtocolError(t, c, calls(c, t.Context())[test.command](), test.part)
	}
	for _, test := range []struct{ command, text, part string }{
		{"STAT", "", "not two numbers"},
		{"STAT", "-1 5", "not two numbers"},
		{"STAT", "1e30 5", "not two numbers"},
		{"STAT", "2", "not two numbers"},
		{"LIST 1", "2 10", "about message 2"},
		{"LIST 1", "1", "scan listing"},
		{"UIDL 1", "2 a", "about message 2"},
		{"UIDL 1", "1 ", "unique-id listing"},
	} {
		c := connect(t, "C: "+test.command+"\nS: +OK "+test.text)
		wantProtocolError(t, c, calls(c, t.Context())[test.command](), test.part)
	}
}

// What is odd and has a rule: lists out of order come in order, one unique-id
// for two messages is given as it is, numbers may have gaps and be large, blank
// lines in CAPA are nothing, an empty maildrop is an empty list.
func TestListsThatAreOdd(t *testing.T) {
	c := connect(t, `
		C: LIST
		S: +OK
		S: 100000 5
		S: 3 7 more
		S: .
		C: UIDL
		S: +OK
		S: 100000 same
		S: 3 same
		S: .
		C: CAPA
		S: +OK
		S:
		S: ..odd
		S: top
		S: .
		C: LIST
		S: +OK
		S: .
	`)
	list, err := c.List(t.Context())
	if got := fmt.Sprint(list); err != nil || got != "[{3 7} {100000 5}]" {
		t.Errorf("List gives %v, %v", got, err)
	}
	uids, err := c.Uidl(t.Context())
	if got := fmt.Sprint(uids); err != nil || got != "[{3 same} {100000 same}]" {
		t.Errorf("Uidl gives %v, %v", got, err)
	}
	caps, err := c.Capa(t.Context())
	if got := fmt.Sprint(caps); err != nil || got != "[.ODD TOP]" {
		t.Errorf("Capa gives %v, %v", got, err)
	}
	list, err = c.List(t.Context())
	if err != nil || len(list) != 0 {
		t.Errorf("List gives %v, %v", list, err)
	}
}

// Octets that nobody asked for: a second line of the greeting, a reply too
// many. The next call finds them, before anything is sent.
func TestUnsolicited(t *testing.T) {
	c := connect(t, "S: +OK and another thing")
	wantProtocolError(t, c, c.Noop(t.Context()), "nobody asked for")
	c = connect(t, "C: NOOP\nS: +OK\nS: +OK")
	must(t, c.Noop(t.Context()))
	wantProtocolError(t, c, c.Dele(t.Context(), 1), "nobody asked for")
}

// A greeting that is none, or a refusal.
func TestGreeting(t *testing.T) {
	for script, part := range map[string]string{
		"S: 220 mail ESMTP":       "neither +OK nor -ERR",
		"S: \x16\x03\x01\x02":     "neither +OK nor -ERR",
		"S: -ERR [SYS/TEMP] full": "[SYS/TEMP] full",
		"CLOSE":                   "unexpected EOF",
		"S+ " + strings.Repeat("x", maxReplyLine): "too long",
	} {
		c, err := New(t.Context(), dialScript(t, script), nil)
		if c != nil || err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("greeting %.20q: %v, want %q", script, err, part)
		}
	}
}
