package cases

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// reset opens connections, some of them logged in, and resets them all.
func reset(f *field) error {
	n := f.of(5000, 400)
	if err := f.start(setting{}); err != nil {
		return err
	}
	f.invite()
	f.Connections = n
	conns := make([]*net.TCPConn, n)
	err := each(n, 64, func(k int) error {
		to := f.server.plain
		if k%2 == 0 {
			to = f.server.tls
		}
		conn, err := dial(f.ctx, attacker(k), to, false)
		if err != nil {
			return err
		}
		conns[k] = conn
		if k%4 == 1 { // in the middle of a command; others say nothing yet
			_, err = io.WriteString(conn, "CAPA\r\nUSER ")
		}
		return errors.Join(err, conn.SetLinger(0))
	})
	if err == nil {
		err = f.peak()
	}
	var wg sync.WaitGroup
	for _, conn := range conns {
		if conn != nil {
			wg.Go(func() { conn.Close() }) // by a reset
		}
	}
	wg.Wait()
	err = errors.Join(err, pause(f.ctx, time.Second)) // for the bystander to see it
	if err != nil {
		return err
	}
	if err := f.finish(); err != nil {
		return err
	}
	f.bound(32<<20, 64<<10)
	return nil
}

// storm connects and closes as fast as it goes, from few addresses: most are
// refused.
func storm(f *field) error {
	n := f.of(50_000, 3000)
	if err := f.start(setting{}); err != nil {
		return err
	}
	f.invite()
	f.Connections = n
	begun := time.Now()
	err := each(n, 256, func(k int) error {
		to := f.server.plain
		if k%2 == 0 {
			to = f.server.tls
		}
		conn, err := dial(f.ctx, attacker(k%180), to, false)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return err
	}
	f.note("%.0f connections a second", float64(n)/time.Since(begun).Seconds())
	if err := f.finish(); err != nil {
		return err
	}
	f.bound(64<<20, 0)
	return nil
}

// noDescriptors takes all descriptors of a server that has few, by
// connections that say nothing.
func noDescriptors(f *field) error {
	const descriptors, n = 128, 400
	if err := f.start(setting{descriptors: descriptors}); err != nil {
		return err
	}
	f.Connections = n
	conns := make([]*net.TCPConn, n)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	err := each(n, 64, func(k int) (err error) {
		conns[k], err = dial(f.ctx, attacker(k), f.server.plain, false)
		return err
	})
	if err != nil {
		return err
	}
	for by := time.Now().Add(patience); !strings.Contains(f.server.log(), "too many open files"); {
		if time.Now().After(by) {
			f.fault("%d connections have not taken all of %d descriptors", n, descriptors)
			break
		}
		if err := pause(f.ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	if err := f.idle(3 * time.Second); err != nil {
		return err
	}
	f.enter()
	for _, conn := range conns {
		conn.Close()
	}
	return f.finish()
}

// idle measures the processor time that the server takes while it waits.
func (f *field) idle(d time.Duration) error {
	before, err := f.server.cpu()
	if err != nil {
		return err
	}
	if err := pause(f.ctx, d); err != nil {
		return err
	}
	after, err := f.server.cpu()
	if err != nil {
		return err
	}
	took := after - before
	f.note("%v of processor time in %v without descriptors", took, d)
	if took > d/4 {
		f.fault("it spins: %v of processor time in %v without descriptors", took, d)
	}
	return f.peak()
}

// enter logs in while all descriptors are taken: the client must be let in, in
// the place of those that say nothing. It may be told to come again.
func (f *field) enter() {
	begun := time.Now()
	for tries := 1; ; tries++ {
		ctx, cancel := context.WithTimeout(f.ctx, 20*time.Second)
		_, err := f.server.login(ctx, guestAddr, guestName)
		cancel()
		if err == nil {
			f.note("a new client is in after %v and %d tries", time.Since(begun).Round(time.Millisecond), tries)
			return
		}
		if tries == 5 {
			f.fault("a client that comes while descriptors are short cannot log in: %v", err)
			return
		}
	}
}
