package pop3server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3server"
)

// scarce is a listener without a descriptor for the next connection, as often
// as the test says.
type scarce struct {
	net.Listener
	err   error
	short atomic.Int32
}

func (l *scarce) Accept() (net.Conn, error) {
	if l.short.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: l.err}
	}
	return l.Listener.Accept()
}

// EMFILE or ENFILE on accept: the oldest connection that has not logged in gives
// way, and is told so, rather than to keep others out until its time is over.
func TestNoDescriptorToAccept(t *testing.T) {
	for _, errno := range []error{syscall.EMFILE, syscall.ENFILE} {
		for _, over := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, TLS %v", errno, over), func(t *testing.T) {
				l := &scarce{Listener: listen(t), err: errno}
				addr := l.Addr().String()
				watch := &record{}
				opts := clear
				opts.TLSConfig, _ = certificate()
				opts.Observer = watch
				srv := serveOn(t, l, store(t), somebody, opts)
				in, oldest := login(t, addr), dial(t, addr)
				if over {
					oldest.do("STLS", "+OK")
					oldest = oldest.overTLS()
				}
				oldest.do("USER mrose", "+OK")
				l.short.Store(1)
				newer := dial(t, addr) // after it there is no descriptor, once
				oldest.want("-ERR [SYS/TEMP] Too many connections")
				oldest.closed()
				newer.do("USER other", "+OK")
				in.do("NOOP", "+OK")
				dial(t, addr)
				waitSessions(srv, 3)
				if got := watch.count("refused too many open files"); got != 1 {
					t.Errorf("%d refusals observed, want 1: %q", got, watch.events)
				}
			})
		}
	}
}

// A server that can accept nobody for a minute neither spins nor fills the log.
func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &scarce{Listener: newPipes(), err: &net.OpError{Op: "accept", Err: syscall.EMFILE}}
		l.short.Store(1000)
		var logged bytes.Buffer
		opts := clear
		opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		srv, err := pop3server.New(store(t), somebody, opts)
		if err != nil {
			t.Fatal(err)
		}
		go srv.Serve(l)
		time.Sleep(time.Minute)
		synctest.Wait()
		if tries := 1000 - l.short.Load(); tries < 50 || tries > 80 {
			t.Errorf("%d tries to accept in a minute", tries)
		}
		if lines := strings.Count(logged.String(), "cannot accept connections"); lines < 2 || lines > 7 {
			t.Errorf("%d lines in a minute: %s", lines, logged.String())
		}
		srv.Close()
	})
}

// One that gives way is closed within a moment, though it does not read what it
// is told, or is in the middle of something.
func TestGivesWayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan bool)
		auth := slowly{somebody, func(ctx context.Context) { close(begun); <-ctx.Done() }}
		opts := clear
		opts.MaxSessions = 2
		srv, err := pop3server.New(store(t), auth, opts)
		if err != nil {
			t.Fatal(err)
		}
		l := newPipes()
		go srv.Serve(l)
		deaf := l.dial(t) // a net.Pipe has no room for what is not read
		busy := l.dial(t)
		busy.do("USER mrose", "+OK")
		busy.send("PASS secret\r\n")
		<-begun
		l.dial(t) // in place of deaf
		time.Sleep(time.Second)
		synctest.Wait()
		deaf.closed()
		next := l.dial(t)            // in place of busy
		busy.want("-ERR [SYS/TEMP]") // to PASS
		busy.want("-ERR [SYS/TEMP] Too many connections")
		busy.closed()
		next.do("NOOP", "-ERR")
		srv.Close()
	})
}

// slowly is an Authenticator that does something first.
type slowly struct {
	users
	first func(ctx context.Context)
}

func (s slowly) Password(ctx context.Context, l pop3server.Login) (pop3server.Account, error) {
	s.first(ctx)
	if err := ctx.Err(); err != nil {
		return pop3server.Account{}, err
	}
	return s.users.Password(ctx, l)
}

// EMFILE at the maildrop: a user who has given the right password goes before
// those who have not, at the login, for a message, and for UPDATE.
func TestNoDescriptorForTheMaildrop(t *testing.T) {
	var short atomic.Int32
	scarce := func() error {
		if short.Add(-1) >= 0 {
			return fmt.Errorf("opening a folder: %w", syscall.EMFILE)
		}
		return nil
	}
	s := store(t, "a\n")
	f := &faulty{Store: s, open: scarce, get: scarce, remove: func([]int) error { return scarce() }}
	_, addr := serve(t, f, somebody, clear)
	wayGiven := func(p *peer, command, reply string) {
		t.Helper()
		idle := dial(t, addr)
		short.Store(1)
		p.do(command, reply)
		idle.want("-ERR [SYS/TEMP] Too many connections")
		idle.closed()
	}
	p := dial(t, addr)
	p.do("USER mrose", "+OK")
	wayGiven(p, "PASS secret", "+OK")
	wayGiven(p, "RETR 1", "+OK")
	p.lines()
	wayGiven(p, "TOP 1 0", "+OK")
	p.lines()
	p.do("DELE 1", "+OK")
	wayGiven(p, "QUIT", "+OK")
	p.closed()
	if n := len(left(t, s)); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// Where nobody is there to give way, the reply says that it may go better later,
// and nothing else is harmed.
func TestNoDescriptorAtAll(t *testing.T) {
	var short atomic.Int32
	scarce := func() error {
		if short.Add(-1) >= 0 {
			return fmt.Errorf("opening a folder: %w", syscall.ENFILE)
		}
		return nil
	}
	s := store(t, "a\n")
	f := &faulty{Store: s, open: scarce, get: scarce, remove: func([]int) error { return scarce() }}
	_, addr := serve(t, f, somebody, clear)
	p := dial(t, addr)
	once := func(command, reply string) {
		t.Helper()
		short.Store(1)
		p.do(command, reply)
	}
	p.do("USER mrose", "+OK")
	once("PASS secret", "-ERR [SYS/TEMP]")
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
	once("RETR 1", "-ERR [SYS/TEMP]")
	p.do("RETR 1", "+OK")
	p.lines()
	p.do("DELE 1", "+OK")
	once("QUIT", "-ERR [SYS/TEMP]")
	p.closed()
	if n := len(left(t, s)); n != 1 {
		t.Errorf("%d messages are left, want 1", n)
	}
}

// A client that reads too slowly is reset: what the kernel holds for it is
// not sent for minutes to come.
func TestSlowReaderIsReset(t *testing.T) {
	for _, name := range []string{"clear text", "TLS"} {
		t.Run(name, func(t *testing.T) {
			opts := pop3server.Options{InsecureAuth: true, WriteTimeout: 100 * time.Millisecond}
			opts.TLSConfig, _ = certificate()
			srv, addr := serve(t, store(t, strings.Repeat("line\n", 4<<20)), somebody, opts)
			p := dial(t, addr)
			raw := p.Conn
			if name == "TLS" {
				p.do("STLS", "+OK")
				p = p.overTLS()
			}
			p.do("USER mrose", "+OK")
			p.do("PASS secret", "+OK")
			p.send("RETR 1\r\n")
			waitEmpty(srv)
			if _, err := io.Copy(io.Discard, raw); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the connection ended in %v, want a reset", err)
			}
		})
	}
}
