package pop3server_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3server"
)

// scarce is a listener without a descriptor for the next connection, as often
// as the test says.
type scarce struct {
	net.Listener
	short atomic.Int32
}

func (l *scarce) Accept() (net.Conn, error) {
	if l.short.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// EMFILE on accept: the oldest connection that has not logged in gives way,
// rather than to keep others out until its time is over.
func TestNoDescriptorToAccept(t *testing.T) {
	l := &scarce{Listener: listen(t)}
	addr := l.Addr().String()
	watch := &record{}
	opts := clear
	opts.Observer = watch
	srv := serveOn(t, l, store(t), somebody, opts)
	in, oldest := login(t, addr), dial(t, addr)
	l.short.Store(1)
	newer := dial(t, addr) // after it there is no descriptor, once
	oldest.closed()
	newer.do("USER other", "+OK")
	in.do("NOOP", "+OK")
	dial(t, addr)
	waitSessions(srv, 3)
	if got := watch.count("refused too many open files"); got != 1 {
		t.Errorf("%d refusals observed, want 1: %q", got, watch.events)
	}
}

// EMFILE at the maildrop: a user who has given the right password goes before
// those who have not.
func TestNoDescriptorForTheMaildrop(t *testing.T) {
	var short atomic.Int32
	f := &faulty{Store: store(t, "a\n"), open: func() error {
		if short.Add(-1) >= 0 {
			return fmt.Errorf("opening a folder: %w", syscall.EMFILE)
		}
		return nil
	}}
	_, addr := serve(t, f, somebody, clear)
	idle := dial(t, addr)
	p := dial(t, addr)
	short.Store(1)
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
	idle.closed()
	p.do("QUIT", "+OK")

	p = dial(t, addr)
	short.Store(1)
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "-ERR [SYS/TEMP]") // there is none to give way
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
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
