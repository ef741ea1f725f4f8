package pop3test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3client"
	"github.com/poplin-mail/poplin/pop3server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// retrieve logs in and gives all messages.
func retrieve(t *testing.T, c *pop3client.Client, err error, s *Server) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	ctx := t.Context()
	if err := c.Login(ctx, s.User, s.Password); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range list {
		m, err := c.Retr(ctx, l.Number)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	if err := c.Quit(ctx); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNewServer comes in over all three ways.
func TestNewServer(t *testing.T) {
	s := NewServer(t, WithMessages("Subject: a\n\n.a\n", "Subject: b\n"), WithAccount("ann", "secret"))
	if _, err := s.Memory.Deliver(t.Context(), s.User, strings.NewReader("c")); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%q", []string{"Subject: a\r\n\r\n.a\r\n", "Subject: b\r\n", "c\r\n"})
	opts := &pop3client.Options{TLSConfig: s.ClientTLS}
	for name, dial := range map[string]func() (*pop3client.Client, error){
		"TLS":      func() (*pop3client.Client, error) { return pop3client.Dial(t.Context(), s.TLSAddr, opts) },
		"STLS":     func() (*pop3client.Client, error) { return pop3client.DialSTLS(t.Context(), s.Addr, opts) },
		"insecure": func() (*pop3client.Client, error) { return pop3client.DialInsecure(t.Context(), s.Addr, nil) },
	} {
		c, err := dial()
		if got := fmt.Sprintf("%q", retrieve(t, c, err, s)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestNewServerAPOP(t *testing.T) {
	s := NewServer(t)
	for _, test := range []struct {
		user, secret string
		right        bool
	}{{s.User, s.Password, true}, {s.User, "wrong", false}, {"nobody", s.Password, false}} {
		c, err := pop3client.DialInsecure(t.Context(), s.Addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Apop(t.Context(), test.user, test.secret); (err == nil) != test.right {
			t.Errorf("APOP %s %s: %v", test.user, test.secret, err)
		}
		c.Abort()
	}
}

func TestNewServerWithStore(t *testing.T) {
	store := memory.New()
	if _, err := store.Deliver(t.Context(), DefaultUser, strings.NewReader("mine\n")); err != nil {
		t.Fatal(err)
	}
	s := NewServer(t, WithStore(store), WithOptions(func(o *pop3server.Options) { o.APOP = false }))
	c, err := pop3client.DialInsecure(t.Context(), s.Addr, nil)
	if err == nil && c.OffersAPOP() {
		t.Error("WithOptions changed nothing")
	}
	if got := retrieve(t, c, err, s); len(got) != 1 || got[0] != "mine\r\n" || s.Memory != nil {
		t.Errorf("got %q, memory %v", got, s.Memory)
	}
}

// recorder is a test that records how it went.
type recorder struct {
	testing.TB
	failed  bytes.Buffer
	cleanup []func()
}

func (r *recorder) Helper()                        {}
func (r *recorder) Cleanup(f func())               { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Errorf(format string, a ...any) { fmt.Fprintf(&r.failed, format+"\n", a...) }
func (r *recorder) Fatal(a ...any)                 { r.Fatalf("%s", fmt.Sprint(a...)) }
func (r *recorder) Fatalf(format string, a ...any) {
	r.Errorf(format, a...)
	panic(r)
}

// run gives what the test said when it failed.
func (r *recorder) run(f func()) string {
	defer func() {
		if v := recover(); v != nil && v != any(r) {
			panic(v)
		}
	}()
	f()
	for i := len(r.cleanup) - 1; i >= 0; i-- {
		r.cleanup[i]()
	}
	return r.failed.String()
}

type panicking struct{}

func (panicking) Open(context.Context, string) (maildrop.Maildrop, error) { panic("on purpose") }

// TestPanicFails: a contained panic fails the test that the server is for.
func TestPanicFails(t *testing.T) {
	r := &recorder{TB: t}
	said := r.run(func() {
		s := NewServer(r, WithStore(panicking{}))
		c, err := pop3client.DialInsecure(t.Context(), s.Addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Abort()
		if err := c.Login(t.Context(), s.User, s.Password); err == nil {
			t.Error("login in spite of the panic")
		}
	})
	if !strings.Contains(said, "1 sessions panicked") {
		t.Errorf("the test said %q", said)
	}
}

func TestNewServerRefuses(t *testing.T) {
	r := &recorder{TB: t}
	r.run(func() { NewServer(r, WithStore(memory.New()), WithMessages("lost")) })
	if !strings.Contains(r.failed.String(), "WithMessages needs the store in memory") {
		t.Errorf("messages beside a store: %q", r.failed.String())
	}
	r = &recorder{TB: t}
	r.run(func() { NewServer(r, WithOptions(func(o *pop3server.Options) { *o = pop3server.Options{} })) })
	if !strings.Contains(r.failed.String(), "nobody could log in") {
		t.Errorf("options that cannot work: %q", r.failed.String())
	}
}
