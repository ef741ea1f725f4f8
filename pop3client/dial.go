package pop3client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// Dial connects over TLS from the first octet (RFC 8314 section 3.2), which is
// the way to be preferred, and reads the greeting. Addr is a host, or
// host:port; the port is 995 by default. The server's name is verified (RFC
// 9525), the version is TLS 1.2 or later.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) {
	conn, host, err := dial(ctx, addr, pop3.PortTLS, opts)
	if err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &Options{}
	}
	secured, err := handshake(ctx, conn, tlsConfig(opts.TLSConfig, host), timeout(opts))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("pop3client: TLS with %s: %w", addr, err)
	}
	return newClient(ctx, secured, host, opts)
}

// DialSTLS connects in clear text and issues STLS before anything else (RFC
// 2595 section 4). Where the server does not take it the result is an error,
// and nothing was sent but STLS. Addr is as for Dial; the port is 110 by
// default.
func DialSTLS(ctx context.Context, addr string, opts *Options) (*Client, error) {
	c, err := dialClear(ctx, addr, opts)
	if err != nil {
		return nil, err
	}
	if err := c.STLS(ctx, nil); err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// DialInsecure connects in clear text. Everybody on the way can read and
// change what passes, the password first. Addr is as for Dial; the port is 110
// by default.
func DialInsecure(ctx context.Context, addr string, opts *Options) (*Client, error) {
	c, err := dialClear(ctx, addr, opts)
	if err != nil {
		return nil, err
	}
	c.clear = true
	return c, nil
}

func dialClear(ctx context.Context, addr string, opts *Options) (*Client, error) {
	conn, host, err := dial(ctx, addr, pop3.Port, opts)
	if err != nil {
		return nil, err
	}
	return newClient(ctx, conn, host, opts)
}

// dial makes the connection and gives the name to be verified.
func dial(ctx context.Context, addr string, port int, opts *Options) (net.Conn, string, error) {
	host, addr, err := splitAddr(addr, port)
	if err != nil {
		return nil, "", err
	}
	if opts == nil {
		opts = &Options{}
	}
	ctx, cancel := withTimeout(ctx, timeout(opts))
	defer cancel()
	var conn net.Conn
	if opts.Dialer != nil {
		conn, err = opts.Dialer.DialContext(ctx, "tcp", addr)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	switch {
	case err == nil:
		return conn, strings.TrimSuffix(host, "."), nil
	case ctx.Err() != nil:
		err = errors.Join(ctx.Err(), err)
	}
	return nil, "", fmt.Errorf("pop3client: dial %s: %w", addr, err)
}

// splitAddr splits a host, host:port or [address]:port.
func splitAddr(addr string, port int) (host, hostport string, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		host, service = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]"), ""
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", "", fmt.Errorf("pop3client: address %q is not a host or host:port", pop3.Sanitize(addr))
		}
	}
	if host == "" {
		return "", "", fmt.Errorf("pop3client: address %q names no host", pop3.Sanitize(addr))
	}
	if service == "" {
		service = strconv.Itoa(port)
	}
	return host, net.JoinHostPort(host, service), nil
}

// tlsConfig completes the caller's configuration.
func tlsConfig(config *tls.Config, host string) *tls.Config {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12) // RFC 9325 section 3.1.1
	if config.ServerName == "" {
		config.ServerName = host
	}
	if len(config.NextProtos) == 0 {
		// A server that answers nothing is taken; crypto/tls refuses one that
		// selects something else.
		config.NextProtos = []string{pop3.ALPN}
	}
	return config
}

// handshake makes the TLS connection. The limit is for the handshake as a
// whole, so that a server that trickles cannot hold it open.
func handshake(ctx context.Context, conn net.Conn, config *tls.Config, limit time.Duration) (*tls.Conn, error) {
	within, cancel := withTimeout(ctx, limit)
	defer cancel()
	secured := tls.Client(conn, config)
	err := secured.HandshakeContext(within)
	switch {
	case err == nil:
		return secured, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case within.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded): // that of a read may come first
		return nil, fmt.Errorf("the handshake took longer than %v: %w", limit, context.DeadlineExceeded)
	}
	return nil, err
}

// withTimeout is context.WithTimeout, where zero stands for no limit.
func withTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}
