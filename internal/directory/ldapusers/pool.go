package ldapusers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// maxIdle is how long a connection that nobody uses is trusted: servers and
// firewalls end such connections, some without a word.
const maxIdle = time.Minute

// pool keeps the connections to the server within their number. Those that
// are idle are bound as who searches.
type pool struct {
	opts  *Options
	tls   *tls.Config
	slots chan struct{} // held while a connection is in use

	mu     sync.Mutex
	idle   []idleConn // the one used last stands last
	closed bool
}

type idleConn struct {
	*ldap.Conn
	since time.Time
}

func newPool(opts *Options, config *tls.Config) *pool {
	return &pool{opts: opts, tls: config, slots: make(chan struct{}, opts.Connections)}
}

// close closes the connections that are idle, and has those in use closed
// when they are given back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.dropIdle()
}

// dropIdle closes all that are idle. The caller holds p.mu.
func (p *pool) dropIdle() {
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = p.idle[:0]
}

// take gives an idle connection, nil where there is none.
func (p *pool) take() *ldap.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	if time.Since(c.since) > maxIdle {
		p.dropIdle() // the others are older
		return nil
	}
	p.idle = p.idle[:last]
	return c.Conn
}

// give keeps a connection for the next who needs one.
func (p *pool) give(conn *ldap.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		conn.Close()
		return
	}
	p.idle = append(p.idle, idleConn{conn, time.Now()})
}

// with runs do with a connection that is bound as who searches. One that was
// idle may have been closed by the server: then another is tried.
func (p *pool) with(ctx context.Context, do func(*ldap.Conn) error) error {
	leave, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for {
		conn := p.take()
		fresh := conn == nil
		if fresh {
			if conn, err = p.dial(ctx, p.opts.BindDN, p.opts.BindPassword); err != nil {
				return fmt.Errorf("LDAP: %w", err)
			}
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err := do(conn)
		if stop() && !conn.IsClosing() && !ldap.IsErrorWithCode(err, ldap.ErrorNetwork) {
			p.give(conn)
			return err
		}
		conn.Close()
		if fresh || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// bind tries a password, on a connection of its own.
func (p *pool) bind(ctx context.Context, dn, password string) error {
	leave, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	conn, err := p.dial(ctx, dn, password)
	if err != nil {
		return err
	}
	return conn.Close()
}

// enter waits until there is room for a connection.
func (p *pool) enter(ctx context.Context) (leave func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("LDAP: all %d connections are in use: %w", p.opts.Connections, ctx.Err())
	}
}

// dial connects, under TLS where that is asked for, and binds; an empty dn is
// nobody.
func (p *pool) dial(ctx context.Context, dn, password string) (*ldap.Conn, error) {
	dialer := &net.Dialer{}
	if by, ok := ctx.Deadline(); ok {
		dialer.Deadline = by
	}
	conn, err := ldap.DialURL(p.opts.URL, ldap.DialWithDialer(dialer), ldap.DialWithTLSConfig(p.tls))
	if err != nil {
		return nil, err
	}
	conn.SetTimeout(timeout)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if p.opts.StartTLS {
		if err := conn.StartTLS(p.tls); err != nil {
			conn.Close()
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	if dn == "" {
		return conn, nil
	}
	if err := conn.Bind(dn, password); err != nil {
		conn.Close()
		return nil, fmt.Errorf("binding as %s: %w", dn, err)
	}
	return conn, nil
}
