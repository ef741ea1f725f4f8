package ldapusers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/poplin-mail/poplin/pop3server"
)

func TestFill(t *testing.T) {
	for _, c := range []struct {
		template, name string
		escape         func(string) string
		want           string
	}{
		{"(|(uid={local})(mail={user})(o={domain}))", "a@b@c", ldap.EscapeFilter, "(|(uid=a@b)(mail=a@b@c)(o=c))"},
		{"(uid={user})", "x)(uid=*", ldap.EscapeFilter, `(uid=x\29\28uid=\2a)`},
		{"(uid={user})", "{domain}@x", ldap.EscapeFilter, "(uid={domain}@x)"},
		{"uid={user},o=x", "a,uid=b+c", ldap.EscapeDN, `uid=a\,uid=b\+c,o=x`},
		{"uid={local},o={domain}", "anna", ldap.EscapeDN, "uid=anna,o="},
	} {
		if got := fill(c.template, c.name, c.escape); got != c.want {
			t.Errorf("%s with %s: %s, want %s", c.template, c.name, got, c.want)
		}
	}
}

// Options that no server could mend are errors.
func TestNewErrors(t *testing.T) {
	right := Options{URL: "ldap://127.0.0.1:1", Base: "o=x", Filter: "(uid={user})"}
	for want, change := range map[string]func(*Options){
		"not ldap://HOST":       func(o *Options) { o.URL = "http://127.0.0.1" },
		"not ldap://HOST, ":     func(o *Options) { o.URL = "ldap:///" },
		"not ldap://HOST, lda":  func(o *Options) { o.URL = "ldapi://host/path" },
		"no certificate in PEM": func(o *Options) { o.CA = []byte("x") },
		"is not one of LDAP":    func(o *Options) { o.Filter = "(uid={user}" },
		"whom to find":          func(o *Options) { o.Filter = "(uid=anna)" },
		"name of an entry":      func(o *Options) { o.UserDN = "{user}" },
		"has no password":       func(o *Options) { o.BindDN = "cn=x" },
	} {
		o := right
		change(&o)
		if s, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, s, err)
		}
	}
}

// A server that is away at the start is logged, and asked again at each login.
func TestAway(t *testing.T) {
	var log bytes.Buffer
	s, err := New(Options{URL: "ldap://127.0.0.1:1", UserDN: "uid={user}", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil || !strings.Contains(log.String(), "cannot be used") {
		t.Fatalf("%v, log %q", err, log.String())
	}
	defer s.Close()
	u, err := s.Lookup(t.Context(), pop3server.Login{Username: "Anna"})
	if err != nil || u.Name != "anna" {
		t.Fatalf("%v, %v", u, err)
	}
	if err := u.Verify(t.Context(), "x"); err == nil || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("verified: %v", err)
	}
	if err := u.Verify(t.Context(), ""); !errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("without a password: %v", err)
	}
	if err := s.Decoy(t.Context(), "x"); err == nil || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("nobody: %v", err)
	}
}

// server takes connections and never says a word on them.
func server(t *testing.T) (addr string, conns <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	taken := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			taken <- conn
		}
	}()
	return l.Addr().String(), taken
}

func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a pipe that has ended takes none
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("a connection stays open: %v", err)
	}
	conn.Close()
}

// A login that is given up frees its connection at once, whatever the server
// does, and the next in the queue learns why it waited.
func TestGivenUp(t *testing.T) {
	addr, conns := server(t)
	s, err := New(Options{URL: "ldap://" + addr, UserDN: "uid={user}", Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	idle := <-conns // New's

	ctx, giveUp := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.bind(ctx, "uid=anna", "x") }()
	conn := <-conns
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.bind(short, "uid=bert", "x"); err == nil || !strings.Contains(err.Error(), "all 1 connections are in use") {
		t.Errorf("one too many: %v", err)
	}
	giveUp()
	if err := <-done; err == nil || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("given up: %v", err)
	}
	ended(t, conn)
	s.Close()
	ended(t, idle)
}

// Connections that were idle for long are not used again, and none is kept
// after the end.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&Options{Connections: 3}, nil)
		connection := func() (*ldap.Conn, net.Conn) {
			here, there := net.Pipe()
			conn := ldap.NewConn(here, false)
			conn.Start()
			return conn, there
		}
		a, endOfA := connection()
		b, endOfB := connection()
		p.give(a)
		time.Sleep(maxIdle / 2)
		p.give(b)
		if got := p.take(); got != b {
			t.Error("the last one used is not the first")
		}
		p.give(b)
		time.Sleep(maxIdle)
		if got := p.take(); got != b {
			t.Error("b was thrown away within its time")
		}
		p.give(b)
		time.Sleep(maxIdle + 1)
		if got := p.take(); got != nil {
			t.Error("an old connection is used")
		}
		ended(t, endOfA)
		ended(t, endOfB)
		c, endOfC := connection()
		p.close()
		p.give(c)
		ended(t, endOfC)
	})
}
