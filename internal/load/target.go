package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// How a connection becomes safe.
const (
	Implicit = "implicit"
	STLS     = "stls"
	None     = "none" // clear text
)

// MechanismUser is USER and PASS, and AnyMechanism the strongest on offer.
const (
	MechanismUser = "USER"
	AnyMechanism  = "any"
)

// User is an account of the server.
type User struct{ Name, Password string }

// Target is a server, and how to reach it.
type Target struct {
	Addr      string // host:port
	TLS       string // Implicit, STLS or None
	TLSConfig *tls.Config
	Mechanism string        // MechanismUser, AnyMechanism, or the name of one of SASL
	Timeout   time.Duration // of silence, for everything a session waits for

	port      string
	addresses []netip.Addr
}

// Resolve looks the host up, once for all connections: a name server has no
// part in what is measured.
func (t *Target) Resolve(ctx context.Context) error {
	host, port, err := net.SplitHostPort(t.Addr)
	if err != nil {
		return err
	}
	t.port = port
	t.addresses, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err
}

// Local reports whether the server is on this machine: nobody else shares what
// the load takes.
func (t *Target) Local() bool {
	for _, a := range t.addresses {
		if !a.Unmap().IsLoopback() {
			return false
		}
	}
	return true
}

// dialer implements the Dialer of pop3client.Options, with the addresses that
// are known already.
type dialer struct{ t *Target }

func (d dialer) DialContext(ctx context.Context, _, _ string) (conn net.Conn, err error) {
	for _, a := range d.t.addresses {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(a.String(), d.t.port))
		if err == nil {
			break
		}
	}
	return conn, err
}

// connect makes a connection and reads the greeting.
func (t *Target) connect(ctx context.Context) (*pop3client.Client, error) {
	opts := &pop3client.Options{TLSConfig: t.TLSConfig, Dialer: dialer{t}, Timeout: t.Timeout}
	if t.Mechanism != AnyMechanism {
		opts.Mechanisms = []string{t.Mechanism}
	}
	switch t.TLS {
	case Implicit:
		return pop3client.Dial(ctx, t.Addr, opts)
	case STLS:
		return pop3client.DialSTLS(ctx, t.Addr, opts)
	}
	return pop3client.DialInsecure(ctx, t.Addr, opts)
}

// login logs in. USER and PASS are sent as they are, without CAPA before them.
func (t *Target) login(ctx context.Context, c *pop3client.Client, u User) error {
	if t.Mechanism != MechanismUser {
		return c.Login(ctx, u.Name, u.Password)
	}
	if err := c.User(ctx, u.Name); err != nil {
		return err
	}
	return c.Pass(ctx, u.Password)
}

// Server is what a first session finds out about a server.
type Server struct {
	Name       string `json:"server"` // IMPLEMENTATION, or else the greeting; fit for a terminal
	TLS        string `json:"tls"`    // the version; empty in clear text
	Messages   int    `json:"messages"`
	Octets     int64  `json:"octets"`
	Pipelining bool   `json:"pipelining"`
}

// Probe logs in once and looks at what is there. Where the host has several
// addresses, the first that takes the connection is used by everything later.
func (t *Target) Probe(ctx context.Context, u User) (s Server, err error) {
	var c *pop3client.Client
	for i := range t.addresses {
		one := *t
		one.addresses = t.addresses[i : i+1]
		if c, err = one.connect(ctx); err == nil {
			t.addresses = one.addresses
			break
		}
	}
	if err != nil {
		return s, err
	}
	defer c.Abort()
	if err := t.login(ctx, c, u); err != nil {
		return s, loginError{err}
	}
	caps, err := c.Capabilities(ctx)
	if err != nil {
		return s, err
	}
	stat, err := c.Stat(ctx)
	if err != nil {
		return s, err
	}
	if s.Name = caps.Implementation(); s.Name == "" {
		s.Name = strings.TrimPrefix(c.Greeting(), "+OK ")
	}
	s.Name = pop3.Sanitize(s.Name)
	if state, ok := c.TLS(); ok {
		s.TLS = tls.VersionName(state.Version)
	}
	s.Messages, s.Octets, s.Pipelining = stat.Messages, stat.Octets, caps.Has(pop3.CapPipelining)
	if err := c.Quit(ctx); err != nil {
		return s, fmt.Errorf("the first session: %w", err)
	}
	return s, nil
}
