package pop3server_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// stacksOf counts the goroutines whose stack holds all the names.
func stacksOf(names ...string) int {
	buf := make([]byte, 1<<20)
	n := 0
	for _, stack := range bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		all := true
		for _, name := range names {
			all = all && bytes.Contains(stack, []byte(name))
		}
		if all {
			n++
		}
	}
	return n
}

// A session whose client is silent leaves its worker, and goes on where it was
// when the client is heard of again: in the middle of a line, under TLS,
// before login as after it.
func TestSilentSessionRests(t *testing.T) {
	const waits, works = "(*session).await", "(*workers).work"
	server, _ := certificate()
	for _, over := range []bool{false, true} {
		inBubble(t, pop3server.Options{TLSConfig: server, InsecureAuth: true}, []string{"a\n"}, func(t *testing.T, srv *pop3server.Server, l *pipes) {
			p := l.dial(t)
			if over {
				p.do("STLS", "+OK")
				p = p.overTLS()
			}
			synctest.Wait()
			if stacksOf(waits, works) != 1 {
				t.Error("a session that has just begun is served by no worker")
			}
			rest := func() {
				time.Sleep(1100 * time.Millisecond)
				synctest.Wait()
				if stacksOf(waits) != 1 || stacksOf(waits, works) != 0 {
					t.Errorf("TLS %v: of %d sessions that wait %d are on workers", over, stacksOf(waits), stacksOf(waits, works))
				}
			}
			rest()
			p.do("USER mrose", "+OK")
			p.send("PASS sec")
			rest()
			p.do("ret", "+OK")
			rest()
			p.send("NOOP\r\nSTAT\r\nRE")
			p.want("+OK")
			p.want("+OK 1 3")
			rest()
			rest()
			p.do("TR 1", "+OK 3")
			p.want("a")
			p.want(".")
			rest()
			p.do("DELE 1", "+OK")
			rest()
			p.do("QUIT", "+OK")
			p.closed()
		})
	}
}

// A long response to AUTH may take its time too.
func TestLongLineRests(t *testing.T) {
	inBubble(t, clear, nil, func(t *testing.T, _ *pop3server.Server, l *pipes) {
		p := l.dial(t)
		p.send("AUTH PLAIN " + strings.Repeat("A", 3000))
		time.Sleep(3 * time.Second)
		p.send(strings.Repeat("A", 3000))
		time.Sleep(3 * time.Second)
		p.do("", "-ERR")
		p.do("USER mrose", "+OK")
		p.do("PASS secret", "+OK")
	})
}

// panicky is a store whose messages cannot be opened.
type panicky struct{ maildrop.Store }

func (s panicky) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	m, err := s.Store.Open(ctx, name)
	return panickyDrop{m}, err
}

type panickyDrop struct{ maildrop.Maildrop }

func (panickyDrop) Open(context.Context, int) (io.ReadCloser, error) { panic("on purpose") }

// A panic behind a rest ends that session and no other, as any does.
func TestPanicBehindRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		srv, err := pop3server.New(panicky{store(t, "a\n")}, somebody, clear)
		if err != nil {
			t.Fatal(err)
		}
		go srv.Serve(l)
		p := l.login(t)
		time.Sleep(2 * time.Second)
		p.send("RETR 1\r\n")
		p.closed()
		synctest.Wait()
		if srv.Panics() != 1 || srv.Sessions() != 0 {
			t.Errorf("%d panics, %d sessions", srv.Panics(), srv.Sessions())
		}
		l.login(t).do("STAT", "+OK 1 3")
		srv.Close()
	})
}

// rester is a store whose maildrops count how often they rest.
type rester struct {
	maildrop.Store
	rests atomic.Int32
}

func (s *rester) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	m, err := s.Store.Open(ctx, name)
	return resterDrop{m, s}, err
}

type resterDrop struct {
	maildrop.Maildrop
	store *rester
}

func (d resterDrop) Rest() { d.store.rests.Add(1) }

// A maildrop rests behind the login, and when its session does; seen through a
// view, too. It does not while a client is busy.
func TestMaildropRests(t *testing.T) {
	for _, view := range []maildrop.View{{}, {ReadOnly: true}} {
		synctest.Test(t, func(t *testing.T) {
			s, l := &rester{Store: store(t, "a\n")}, newPipes()
			srv, err := pop3server.New(s, viewer{somebody, view}, clear)
			if err != nil {
				t.Fatal(err)
			}
			go srv.Serve(l)
			want := func(when string, n int32) {
				t.Helper()
				synctest.Wait()
				if got := s.rests.Swap(0); got != n {
					t.Errorf("%s it rested %d times, want %d", when, got, n)
				}
			}
			p := l.login(t)
			want("behind the login", 1)
			for range 3 {
				p.do("RETR 1", "+OK 3")
				p.want("a")
				p.want(".")
				time.Sleep(900 * time.Millisecond)
			}
			want("while the client was busy", 0)
			time.Sleep(time.Hour / 10)
			want("while the client was silent", 1)
			p.do("NOOP", "+OK")
			time.Sleep(2 * time.Second)
			want("while it was silent again", 1)
			p.do("QUIT", "+OK")
			want("behind QUIT", 0)
			srv.Close()
		})
	}
}

// viewer gives every account a view.
type viewer struct {
	users
	view maildrop.View
}

func (v viewer) Password(ctx context.Context, l pop3server.Login) (pop3server.Account, error) {
	a, err := v.users.Password(ctx, l)
	a.View = v.view
	return a, err
}

// Workers that have nothing to do end.
func TestWorkersEnd(t *testing.T) {
	inBubble(t, clear, nil, func(t *testing.T, srv *pop3server.Server, l *pipes) {
		for range 100 {
			p := l.dial(t)
			defer p.Close()
		}
		synctest.Wait()
		if n := stacksOf("(*workers).work"); n != 100 {
			t.Errorf("%d workers for 100 sessions", n)
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if n := stacksOf("(*workers).work"); n > 32 {
			t.Errorf("%d workers wait", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := stacksOf("(*workers).work"); n != 0 {
			t.Errorf("%d workers are left", n)
		}
	})
}

// The write timeout is for 16 KiB: a client that takes them in time is served,
// however large the writes are, and one that takes less is not.
func TestSlowReader(t *testing.T) {
	const step = 16 << 10
	message := strings.Repeat(strings.Repeat("x", 62)+"\n", 8000)
	server, _ := certificate()
	for _, over := range []bool{false, true} {
		for _, tt := range []struct {
			octets int
			served bool
		}{{2 * step, true}, {step / 2, false}} {
			inBubble(t, pop3server.Options{TLSConfig: server, InsecureAuth: true}, []string{message}, func(t *testing.T, srv *pop3server.Server, l *pipes) {
				p := l.dial(t)
				if over {
					p.do("STLS", "+OK")
					p = p.overTLS()
				}
				p.do("USER mrose", "+OK")
				p.do("PASS secret", "+OK")
				p.send("RETR 1\r\n")
				total := 0
				buf := make([]byte, tt.octets)
				for total < len(message) {
					time.Sleep(50 * time.Second)
					n, err := io.ReadFull(p.r, buf[:min(len(buf), len(message)-total)])
					if total += n; err != nil {
						break
					}
				}
				if served := total >= len(message); served != tt.served {
					t.Errorf("TLS %v, %d octets in 50 s: served %v, %d octets", over, tt.octets, served, total)
				}
			})
		}
	}
}
