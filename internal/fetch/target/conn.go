package target

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/pop3"
)

// Security is how a connection is protected.
type Security uint8

const (
	// TLS from the first octet.
	TLS Security = iota

	// StartTLS is TLS by a command, before anything else. A server that does
	// not offer it gets no mail.
	StartTLS

	// Insecure is clear text. Passwords and tokens pass only to this machine
	// itself.
	Insecure
)

// ServerOptions say how a server is reached.
type ServerOptions struct {
	// Address is host:port, or unix: and a path, where Security does not matter.
	Address string

	Security  Security
	TLSConfig *tls.Config // nil: the system's authorities; a ServerName is set from Address

	// Timeout is how long the server may take for a step, or to take 32 KiB of a
	// message; 0: two minutes.
	Timeout time.Duration

	// Dialer makes the connection; nil: net.Dialer.
	Dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	}
}

func (o *ServerOptions) check() error {
	o.Timeout = cmp.Or(o.Timeout, 2*time.Minute)
	if path, unix := o.socket(); unix {
		if path == "" {
			return errors.New("the path of the socket is empty")
		}
		return nil
	}
	if host, port, err := net.SplitHostPort(o.Address); err != nil || host == "" || port == "" {
		return fmt.Errorf("the address %q is not host:port", o.Address)
	}
	return nil
}

// socket gives the path of a unix socket, if it is one.
func (o *ServerOptions) socket() (path string, unix bool) {
	return strings.CutPrefix(o.Address, "unix:")
}

// host gives the server's name.
func (o *ServerOptions) host() string {
	host, _, _ := net.SplitHostPort(o.Address)
	return strings.TrimSuffix(host, ".")
}

// dial makes a connection, in clear text yet.
func (o *ServerOptions) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	network, address := "tcp", o.Address
	if path, unix := o.socket(); unix {
		network, address = "unix", path
	}
	var nc net.Conn
	var err error
	if o.Dialer != nil {
		nc, err = o.Dialer.DialContext(ctx, network, address)
	} else {
		nc, err = new(net.Dialer).DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, timeout: o.Timeout}
	c.step()
	return c, nil
}

// tlsConfig completes the caller's.
func (o *ServerOptions) tlsConfig(alpn string) *tls.Config {
	config := new(tls.Config)
	if o.TLSConfig != nil {
		config = o.TLSConfig.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12) // RFC 9325 section 3.1.1
	config.ServerName = cmp.Or(config.ServerName, o.host())
	if alpn != "" && len(config.NextProtos) == 0 {
		config.NextProtos = []string{alpn}
	}
	return config
}

// secure makes TLS of a connection. The limit is for the handshake as a whole.
func (o *ServerOptions) secure(ctx context.Context, c net.Conn, alpn string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	secured := tls.Client(c, o.tlsConfig(alpn))
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS with %s: %w", o.Address, err)
	}
	return secured, nil
}

// conn is a connection under a library that knows deadlines for replies only,
// or none. Each write of a part of a message has its own, and what the server
// may send for one step is bounded, since the libraries bound lines at most.
type conn struct {
	net.Conn
	timeout time.Duration
	left    atomic.Int64
}

const (
	// writePart is what the server has the whole timeout for.
	writePart = 32 << 10

	// stepLimit is how many octets a server may send for one step: more than
	// any reply to what is asked here.
	stepLimit = 4 << 20
)

var errMuch = errors.New("the server sends more than any answer can be")

// step begins a step.
func (c *conn) step() { c.left.Store(stepLimit) }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.left.Load() <= 0 {
		return 0, errMuch
	}
	n, err := c.Conn.Read(p)
	c.left.Add(-int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		c.Conn.SetWriteDeadline(time.Now().Add(c.timeout))
		var n int
		n, err = c.Conn.Write(p[:min(len(p), writePart)])
		written += n
		p = p[n:]
	}
	return written, err
}

// SetDeadline implements net.Conn. The deadlines of writes are its own matter.
func (c *conn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// within runs a step on a connection that ends when ctx does, or the time is
// up: the connection is closed then, which ends whatever waits for it.
func within(ctx context.Context, timeout time.Duration, c *conn, step func() error) error {
	c.step()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, tookLonger(timeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	err := step()
	if !stop() && err != nil {
		return context.Cause(ctx)
	}
	return err
}

// tookLonger is the error of a step that took longer than that.
type tookLonger time.Duration

// Error implements error.
func (d tookLonger) Error() string {
	return fmt.Sprintf("the server took longer than %v", time.Duration(d))
}

// Timeout tells it from other errors, as those of package net do.
func (d tookLonger) Timeout() bool { return true }

// cut tells that the server has ended the connection.
func cut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// at says at which step a server ended the connection. "EOF" alone tells nobody
// who ended what.
func (o *ServerOptions) at(step string, err error) error {
	if cut(err) {
		return fmt.Errorf("%s ended the connection %s: %w", o.Address, step, err)
	}
	return err
}

// greeting is at for the greeting. A server that waits for TLS says nothing.
func (o *ServerOptions) greeting(err error) error {
	var slow interface {
		error
		Timeout() bool
	}
	if _, unix := o.socket(); !unix && o.Security == Insecure && errors.As(err, &slow) && slow.Timeout() {
		return fmt.Errorf("%w; it was waited for in clear text: if %s is a port for TLS, set security = \"tls\"", err, o.Address)
	}
	return o.at("before its greeting", err)
}

// held has a connection that is kept for the next batch, for a time.
type held struct {
	mu    sync.Mutex
	timer *time.Timer
	used  time.Time
}

// holdTime is how long a connection is kept that nobody uses.
const holdTime = 20 * time.Second

// take begins the use of the connection.
func (h *held) take() {
	h.mu.Lock()
	if h.timer != nil {
		h.timer.Stop()
	}
}

// mayBeGone tells that the server may have ended the connection meanwhile.
func (h *held) mayBeGone() bool { return time.Since(h.used) > holdTime/4 }

// give ends it. When nobody takes it again, drop is called.
func (h *held) give(drop func()) {
	h.used = time.Now()
	h.timer = time.AfterFunc(holdTime, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		drop()
	})
	h.mu.Unlock()
}

// startTLS has a server of SMTP or LMTP begin with TLS: it says hello with the
// verb, and sends STARTTLS (RFC 3207).
func startTLS(c net.Conn, verb, name string) error {
	r := wire.NewReader(c, 4<<10)
	w := wire.NewWriter(c, 512)
	reply := func() (code string, lines []string, err error) {
		for len(lines) < 100 {
			line, err := r.ReadLine(replyLine)
			if err != nil {
				return "", nil, err
			}
			if len(line) < 3 || len(line) > 3 && line[3] != '-' && line[3] != ' ' {
				break
			}
			lines = append(lines, string(line[min(4, len(line)):]))
			if len(line) == 3 || line[3] == ' ' {
				return string(line[:3]), lines, nil
			}
		}
		return "", nil, errors.New("the server sends what is no reply")
	}
	ask := func(command, want string) (lines []string, err error) {
		if command != "" {
			w.Line(command)
			if err := w.Flush(); err != nil {
				return nil, err
			}
		}
		code, lines, err := reply()
		if err == nil && code != want {
			err = fmt.Errorf("the server says: %s %s", code, pop3.Sanitize(strings.Join(lines, " ")))
		}
		return lines, err
	}
	if _, err := ask("", "220"); err != nil {
		return err
	}
	extensions, err := ask(verb+" "+name, "250")
	if err != nil {
		return err
	}
	offered := false
	for _, line := range extensions[1:] {
		offered = offered || strings.EqualFold(line, "STARTTLS")
	}
	if !offered {
		return errors.New("the server does not offer STARTTLS, which the configuration asks for")
	}
	if _, err := ask("STARTTLS", "220"); err != nil {
		return err
	}
	if r.Buffered() > 0 {
		return errInjected
	}
	return nil
}

var errInjected = errors.New("the server sends more behind its answer to STARTTLS: somebody in between may have put that there")

// replyLine is longer than RFC 5321 section 4.5.3.1.5 allows.
const replyLine = 2000

// helo is what this machine calls itself.
func helo() string {
	name, err := os.Hostname()
	if err != nil || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "localhost"
	}
	return name
}
