package pop3server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3server"
)

// pipes is a listener whose connections are pipes, for tests in bubbles of
// package synctest, where time passes when everybody waits.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
	wrap  func(net.Conn) net.Conn
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), done: make(chan struct{}), wrap: func(c net.Conn) net.Conn { return c }}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(t *testing.T) *peer {
	t.Helper()
	server, client := net.Pipe()
	p.conns <- p.wrap(server)
	t.Cleanup(func() { client.Close() })
	c := &peer{t: t, Conn: client, r: bufio.NewReader(client)}
	c.want("+OK")
	return c
}

func (p *pipes) login(t *testing.T) *peer {
	t.Helper()
	c := p.dial(t)
	c.do("USER mrose", "+OK")
	c.do("PASS secret", "+OK")
	return c
}

// inBubble runs a test with a server over pipes in a bubble.
func inBubble(t *testing.T, opts pop3server.Options, messages []string, test func(t *testing.T, srv *pop3server.Server, l *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		srv, err := pop3server.New(store(t, messages...), somebody, opts)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		test(t, srv, l)
		srv.Close()
		if err := <-done; !errors.Is(err, pop3server.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// ends gives the time until the connection is closed.
func (p *peer) ends() time.Duration {
	start := time.Now()
	io.Copy(io.Discard, p.r)
	return time.Since(start)
}

// RFC 1939 section 3: an autologout timer of at least 10 minutes, and no
// UPDATE when it ends.
func TestAutologout(t *testing.T) {
	inBubble(t, clear, []string{"a\n"}, func(t *testing.T, _ *pop3server.Server, l *pipes) {
		p := l.login(t)
		p.do("DELE 1", "+OK")
		time.Sleep(9 * time.Minute)
		p.do("NOOP", "+OK") // any command starts it anew
		if d := p.ends(); d != 10*time.Minute {
			t.Errorf("autologout after %v", d)
		}
		l.login(t).do("STAT", "+OK 1 3")
	})
}

func TestLoginMustNotTakeForEver(t *testing.T) {
	inBubble(t, clear, nil, func(t *testing.T, _ *pop3server.Server, l *pipes) {
		p := l.dial(t)
		time.Sleep(2 * time.Minute)
		p.do("USER mrose", "+OK")
		if d := p.ends(); d != time.Minute {
			t.Errorf("closed after another %v", d)
		}
		p = l.dial(t)
		p.send("AUTH LOGIN\r\n")
		p.want("+ ")
		if d := p.ends(); d != 3*time.Minute {
			t.Errorf("in the middle of AUTH closed after %v", d)
		}
	})
}

// A command that comes an octet at a time has one deadline, not one an octet.
func TestSlowLineEnds(t *testing.T) {
	inBubble(t, clear, nil, func(t *testing.T, _ *pop3server.Server, l *pipes) {
		p := l.login(t)
		start := time.Now()
		for {
			time.Sleep(time.Minute)
			if _, err := io.WriteString(p.Conn, "N"); err != nil {
				break
			}
		}
		if d := time.Since(start); d > 12*time.Minute {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestClientThatDoesNotRead(t *testing.T) {
	big := strings.Repeat("line\n", 100_000)
	inBubble(t, clear, []string{big, "x\n"}, func(t *testing.T, srv *pop3server.Server, l *pipes) {
		p := l.login(t)
		p.send("DELE 2\r\nRETR 1\r\n")
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if n := srv.Sessions(); n != 0 {
			t.Errorf("%d sessions after the write timeout", n)
		}
		l.login(t).do("STAT", "+OK 2 600003")
	})
}

func TestShutdownEndsIdleSessions(t *testing.T) {
	inBubble(t, clear, []string{"a\n"}, func(t *testing.T, srv *pop3server.Server, l *pipes) {
		idle := l.login(t)
		idle.do("DELE 1", "+OK")
		time.Sleep(time.Second)
		start := time.Now()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("an idle session was let live for %v", d)
		}
		idle.closed()
	})
}

// sleeper is a connection whose client is gone: the kernel finds out only
// when it is asked to probe.
type sleeper struct {
	net.Conn
	alive  bool
	probed bool
}

func (s *sleeper) SetKeepAliveConfig(c net.KeepAliveConfig) error {
	s.probed = true
	if !s.alive {
		time.AfterFunc(c.Idle+time.Duration(c.Count)*c.Interval, func() { s.Conn.Close() })
	}
	return nil
}

// A phone that lost its network and comes back gets its maildrop within
// seconds; a session whose client lives is never ended for another's sake.
func TestVanishedClientGivesWay(t *testing.T) {
	for _, alive := range []bool{false, true} {
		inBubble(t, clear, []string{"a\n"}, func(t *testing.T, srv *pop3server.Server, l *pipes) {
			var first *sleeper
			l.wrap = func(c net.Conn) net.Conn {
				if first == nil {
					first = &sleeper{Conn: c, alive: alive}
					return first
				}
				return c
			}
			old := l.login(t)
			old.do("DELE 1", "+OK")
			second := l.dial(t)
			second.do("USER mrose", "+OK")
			start := time.Now()
			second.do("PASS secret", "-ERR [IN-USE]")
			if d := time.Since(start); d != 0 || first.probed {
				t.Errorf("a session heard of just now was probed, for %v", d)
			}
			time.Sleep(3 * time.Second)
			second.do("USER mrose", "+OK")
			start = time.Now()
			second.do("PASS secret", map[bool]string{false: "+OK", true: "-ERR [IN-USE]"}[alive])
			if d := time.Since(start); d > 6*time.Second || !first.probed {
				t.Errorf("probed %v, answered after %v", first.probed, d)
			}
			if alive {
				old.do("QUIT", "+OK")
			} else {
				second.do("STAT", "+OK 1 3") // nothing was deleted
			}
		})
	}
}
