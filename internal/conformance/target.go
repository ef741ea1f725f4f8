package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// TLSMode says how a connection becomes safe.
type TLSMode string

// The modes.
const (
	Implicit TLSMode = "implicit" // TLS from the first octet: RFC 8314 section 3.3
	STLS     TLSMode = "stls"     // clear text, then STLS: RFC 2595 section 4
	NoTLS    TLSMode = "none"     // clear text: the password goes over it
)

// Target is a server, and what may be done with it.
type Target struct {
	Addr string  // host:port
	TLS  TLSMode // "" stands for Implicit

	// TLSConfig is for connections in TLS. Nil: the certificate must be valid
	// for the host of Addr.
	TLSConfig *tls.Config

	// User and Password log in. Without User, cases that need a login are
	// not applicable.
	User, Password string

	// Destructive allows cases that delete the last message.
	Destructive bool

	// Timeout bounds each case. Zero: 30 seconds. Servers exist that answer
	// a failed login after 15 seconds only.
	Timeout time.Duration

	// Each, if it is set, is told of each result as soon as it is there.
	Each func(Result)

	// Dial opens connections. Nil: a net.Dialer does.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (t *Target) check() error {
	switch t.TLS {
	case "":
		t.TLS = Implicit
	case Implicit, STLS, NoTLS:
	default:
		return fmt.Errorf("TLS mode %q is none of %q, %q and %q", t.TLS, Implicit, STLS, NoTLS)
	}
	host, _, err := net.SplitHostPort(t.Addr)
	if err != nil {
		return fmt.Errorf("address %q is not HOST:PORT: %w", t.Addr, err)
	}
	if t.TLSConfig == nil {
		t.TLSConfig = &tls.Config{}
	}
	t.TLSConfig = t.TLSConfig.Clone()
	if t.TLSConfig.ServerName == "" {
		t.TLSConfig.ServerName = host
	}
	if t.Timeout == 0 {
		t.Timeout = 30 * time.Second
	}
	if t.Dial == nil {
		t.Dial = new(net.Dialer).DialContext
	}
	for _, c := range []byte(t.User + t.Password) {
		if c == '\r' || c == '\n' || c == 0 {
			return errors.New("user name and password may not hold CR, LF or NUL")
		}
	}
	return nil
}
