package cases

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// crowd are connections of clients that send too little and too slowly.
type crowd struct {
	members []*member
	open    atomic.Int64
	stop    func()
}

type member struct {
	conn   net.Conn
	opened time.Time
	closed time.Time // by the server; set when read has ended
	read   chan struct{}
}

// gather opens n connections; begin says what each does first. From then on
// each sends an octet every other second.
func (f *field) gather(n int, addr string, begin func(net.Conn) error) (*crowd, error) {
	c := &crowd{members: make([]*member, n)}
	ctx, cancel := context.WithCancel(f.ctx)
	var wg sync.WaitGroup
	c.stop = func() {
		cancel()
		wg.Wait()
		for _, m := range c.members {
			if m != nil {
				m.conn.Close()
				<-m.read
			}
		}
	}
	f.Connections += n
	err := each(n, 64, func(k int) error {
		conn, err := dial(f.ctx, attacker(k), addr, false)
		if err != nil {
			return err
		}
		m := &member{conn: conn, opened: time.Now(), read: make(chan struct{})}
		c.members[k] = m
		c.open.Add(1)
		err = begin(conn)
		go func() {
			defer close(m.read)
			defer c.open.Add(-1)
			io.Copy(io.Discard, conn) // until the server closes, in whatever way
			m.closed = time.Now()
		}()
		return err
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	wg.Go(func() { c.drip(ctx) })
	return c, nil
}

// drip sends an octet over each connection, again and again.
func (c *crowd) drip(ctx context.Context) {
	for pause(ctx, 2*time.Second) == nil {
		for _, m := range c.members {
			m.conn.Write([]byte("A")) // it fails where the server has closed
		}
	}
}

// dropped waits until the server has closed all connections, and gives the
// longest time that one was open.
func (c *crowd) dropped(f *field) error {
	for by := time.Now().Add(patience); c.open.Load() > 0 && time.Now().Before(by); {
		if err := errors.Join(f.peak(), pause(f.ctx, 100*time.Millisecond)); err != nil {
			return err
		}
	}
	if n := c.open.Load(); n > 0 {
		f.fault("%d of %d connections are still open after %v", n, len(c.members), patience)
		return nil
	}
	for _, m := range c.members {
		<-m.read
		f.Dropped = max(f.Dropped, m.closed.Sub(m.opened))
	}
	return nil
}

// besiege is a case of a crowd: it gathers, and is dropped.
func (f *field) besiege(cfg setting, n int, addr func() string, begin func(net.Conn) error) error {
	if err := f.start(cfg); err != nil {
		return err
	}
	f.invite()
	c, err := f.gather(n, addr(), begin)
	if err != nil {
		return err
	}
	defer c.stop()
	f.note("%d open at once", c.open.Load())
	if err := c.dropped(f); err != nil {
		return err
	}
	if err := f.finish(); err != nil {
		return err
	}
	f.bound(32<<20, 64<<10)
	return nil
}

// halfHandshakes begins TLS and goes on an octet at a time.
func halfHandshakes(f *field) error {
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" // a record of 512 octets with a client hello
	return f.besiege(setting{limits: []string{`handshake_timeout = "5s"`}}, f.of(5000, 300),
		func() string { return f.server.tls },
		func(conn net.Conn) error {
			_, err := io.WriteString(conn, hello)
			return err
		})
}

// slowCommands sends a command an octet at a time.
func slowCommands(f *field) error {
	return f.besiege(setting{limits: []string{f.loginTimeout()}}, f.of(10_000, 300),
		func() string { return f.server.plain },
		func(conn net.Conn) error {
			_, err := io.WriteString(conn, "USER ")
			return err
		})
}

// slowSASL sends the response to a challenge an octet at a time.
func slowSASL(f *field) error {
	return f.besiege(setting{limits: []string{f.loginTimeout()}}, f.of(10_000, 300),
		func() string { return f.server.plain },
		func(conn net.Conn) error {
			_, err := io.WriteString(conn, "AUTH PLAIN\r\nAGd1ZXN0AH")
			return err
		})
}

// loginTimeout is short enough for a run to end soon, and long enough for the
// whole crowd to come.
func (f *field) loginTimeout() string {
	if f.Short {
		return `login_timeout = "4s"`
	}
	return `login_timeout = "20s"`
}
