package cases

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Who logs in besides the attack, and from where.
const (
	guestName = "guest"
	guestAddr = "127.200.0.1"
)

// attacker gives the address from which the k-th connection of an attack
// comes: few enough a piece, and a network, for the server's limits.
func attacker(k int) string {
	address := k / 90
	return fmt.Sprintf("127.%d.%d.%d", 1+address/10/250, address/10%250, 1+address%10)
}

// dial connects from an address of this machine. Buffers are made small where
// that is asked for, so that the kernel takes little in the place of a client
// that does not read, or a server.
func dial(ctx context.Context, from, to string, small bool) (*net.TCPConn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	if small {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			failed := c.Control(func(fd uintptr) {
				err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10),
					syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 32<<10))
			})
			return errors.Join(failed, err)
		}
	}
	conn, err := d.DialContext(ctx, "tcp", to)
	for range 10 { // the kernel may not find a port at once, among many that were used
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		conn, err = d.DialContext(ctx, "tcp", to)
	}
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// client speaks POP3, a line at a time.
type client struct {
	net.Conn
	r *bufio.Reader
}

// connect takes the greeting too, in clear text.
func connect(ctx context.Context, from, to string, small bool) (*client, error) {
	conn, err := dial(ctx, from, to, small)
	if err != nil {
		return nil, err
	}
	return greet(conn)
}

func greet(conn net.Conn) (*client, error) {
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{conn, bufio.NewReader(conn)}
	if _, err := c.ok(); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// line reads a line without its end.
func (c *client) line() (string, error) {
	line, err := c.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// ok reads a reply that must be positive.
func (c *client) ok() (string, error) {
	line, err := c.line()
	if err == nil && !strings.HasPrefix(line, "+OK") {
		err = fmt.Errorf("the server said %q", line)
	}
	return line, err
}

// ask sends a command and gives the first line of the reply.
func (c *client) ask(command string) (string, error) {
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	return c.line()
}

// login sends credentials, which must be taken.
func (c *client) login(name string) error {
	for _, command := range []string{"USER " + name, "PASS " + password} {
		if _, err := c.Write([]byte(command + "\r\n")); err != nil {
			return err
		}
		if _, err := c.ok(); err != nil {
			return err
		}
	}
	return nil
}

// login connects under TLS, logs in and quits, and says how long it took from
// the connection to the open maildrop.
func (s *server) login(ctx context.Context, from, name string) (time.Duration, error) {
	begun := time.Now()
	conn, err := dial(ctx, from, s.tls, false)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c, err := greet(tls.Client(conn, clientTLS()))
	if err != nil {
		return 0, err
	}
	if err := c.login(name); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	_, err = c.ask("QUIT")
	return took, err
}

// bystander logs in all the time from an address that does nothing else.
type bystander struct {
	stop func()
	done chan struct{}
	took []time.Duration
	err  error // the first login that failed
	bad  int   // how many failed
}

func watchLogins(ctx context.Context, s *server) *bystander {
	ctx, cancel := context.WithCancel(ctx)
	b := &bystander{done: make(chan struct{})}
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-b.done
	})
	go func() {
		defer close(b.done)
		for ctx.Err() == nil {
			took, err := s.login(context.WithoutCancel(ctx), guestAddr, guestName)
			if err != nil {
				b.bad++
				b.err = firstOf(b.err, err)
			} else {
				b.took = append(b.took, took)
			}
			pause(ctx, 50*time.Millisecond) // the loop sees the end of ctx
		}
	}()
	return b
}

func firstOf(first, next error) error {
	if first != nil {
		return first
	}
	return next
}

// leave ends the logins and reports them.
func (b *bystander) leave(f *field) {
	b.stop()
	if b.bad > 0 {
		f.fault("%d of %d logins of a bystander failed: %v", b.bad, b.bad+len(b.took), b.err)
	}
	if f.Logins = len(b.took); f.Logins == 0 {
		f.fault("no bystander could log in")
		return
	}
	slices.Sort(b.took)
	f.P50, f.P99, f.Worst = b.took[f.Logins/2], b.took[f.Logins*99/100], b.took[f.Logins-1]
	late := f.late
	if late == 0 {
		late = time.Second
	}
	if f.P99 > late {
		f.slow("a bystander's login took %v", f.P99.Round(time.Millisecond))
	}
}

// each calls f for the numbers below n, many at once, and gives the first
// error.
func each(n, workers int, f func(k int) error) error {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	next := make(chan int)
	for range min(n, workers) {
		wg.Go(func() {
			for k := range next {
				if err := f(k); err != nil {
					once.Do(func() { first = fmt.Errorf("connection %d: %w", k, err) })
				}
			}
		})
	}
	for k := range n {
		next <- k
	}
	close(next)
	wg.Wait()
	return first
}
