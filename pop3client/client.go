package pop3client

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/pop3"
)

// DefaultTimeout is how long a server may be silent. Servers exist that read
// every message of a maildrop before they answer the first command, and QUIT
// waits for deletes, so it is longer than a network needs.
const DefaultTimeout = 2 * time.Minute

// DefaultMaxListings is how many lines LIST and UIDL may have.
const DefaultMaxListings = 1_000_000

const (
	// maxReplyLine bounds a status line and a line of a list, in octets. It is
	// more than pop3.MaxReplyLine, which servers that send links to help pages
	// or long names exceed.
	maxReplyLine = 4 * pop3.MaxReplyLine

	// readBuffer holds two TLS records.
	readBuffer = 32 * 1024

	// writeBuffer holds the longest line that is sent.
	writeBuffer = 4 * 1024
)

// Options change how a Client works. The zero value, and nil, are safe: TLS
// with the server's name verified, no password in clear text.
type Options struct {
	// TLSConfig is cloned. Less than TLS 1.2 is never used. Empty ServerName
	// stands for the host dialled, empty NextProtos for the ALPN name pop3.
	// Nil stands for the zero tls.Config.
	TLSConfig *tls.Config

	// Dialer makes the connection; nil stands for a net.Dialer.
	Dialer interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	}

	// Timeout is how long the server may be silent, and how long one write,
	// the dialling and the TLS handshake may take. It restarts with every
	// octet received, so that it does not limit the time of a message: the
	// context does that. Zero stands for DefaultTimeout, less for no limit.
	Timeout time.Duration

	// InsecureAuth has passwords sent in clear text. It is for connections
	// that something else protects, such as a tunnel given to New.
	InsecureAuth bool

	// Mechanisms pins what Login, LoginToken and LoginExternal may use: names of
	// SASL mechanisms, "USER" for USER and PASS, "APOP". Of those on offer the
	// strongest is used, and nothing else is ever tried, so that nobody on the
	// way can talk the client into something weaker. Empty: all but CRAM-MD5
	// and APOP, which rest on MD5. Auth, User, Pass and Apop, which leave no
	// choice, do not look at it.
	Mechanisms []string

	// MaxListings is how many lines LIST and UIDL may have before the client
	// takes them for endless; some 100 octets of memory each at most. Zero
	// stands for DefaultMaxListings.
	MaxListings int

	// Trace gets the protocol trace: what passes in both directions, a line
	// each, with passwords and everything of AUTH left out, and of messages
	// the number of octets alone. Nil: none.
	Trace io.Writer

	// Logger gets the same trace at level debug. Nil: none.
	Logger *slog.Logger
}

// Client is one session with a server. See the package's documentation for
// what holds of all its methods.
type Client struct {
	base    *deadlineConn // the connection as it came
	conn    net.Conn      // base, or TLS of our own over it
	r       *wire.Reader
	w       *wire.Writer
	trace   tracer
	options Options
	host    string // the name that STLS verifies, "" where none is known

	clear  bool // passwords may pass: the caller said so
	marked bool // DELE was sent, whatever came of it

	greeting  string
	timestamp string // of APOP

	ctx context.Context // of the operation that runs; its own goroutine's alone

	mu   sync.Mutex // guards what follows
	busy bool
	err  error       // why the session is of no use
	stop func() bool // ends the watch over ctx
	quit *error      // what Quit said when it was called; nil before

	encrypted bool // passwords may pass: TLS
	caps      pop3.Capabilities
	capsKnown bool // for this state of the session
	pipelines bool // PIPELINING was announced in the state before
}

// New makes a client over a connection of the caller's, and reads the
// greeting. The client owns the connection from now on: Quit, Abort, every
// failure that breaks the session, and a failure of New itself, close it.
//
// Passwords pass where conn is a *tls.Conn, or has its ConnectionState method.
// Any other connection counts as clear text, whatever it runs through: set
// Options.InsecureAuth where that is safe, or call STLS, which then needs a
// ServerName in its configuration.
func New(ctx context.Context, conn net.Conn, opts *Options) (*Client, error) {
	return newClient(ctx, conn, "", opts)
}

func newClient(ctx context.Context, conn net.Conn, host string, opts *Options) (*Client, error) {
	if opts == nil {
		opts = &Options{}
	}
	c := &Client{options: *opts, host: host, clear: opts.InsecureAuth}
	c.options.Timeout = timeout(opts)
	if opts.MaxListings <= 0 {
		c.options.MaxListings = DefaultMaxListings
	}
	_, c.encrypted = conn.(interface{ ConnectionState() tls.ConnectionState })
	c.base = &deadlineConn{Conn: conn, timeout: c.options.Timeout}
	c.conn = c.base
	c.r = wire.NewReader(c.conn, readBuffer)
	c.w = wire.NewWriter(c.conn, writeBuffer)
	c.trace = tracer{w: opts.Trace, log: opts.Logger}
	if err := c.greet(ctx); err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// timeout gives the time-out that the options ask for, zero for none.
func timeout(opts *Options) time.Duration {
	switch {
	case opts.Timeout == 0:
		return DefaultTimeout
	case opts.Timeout < 0:
		return 0
	}
	return opts.Timeout
}

// greet reads the greeting (RFC 1939 section 4).
func (c *Client) greet(ctx context.Context) error {
	if err := c.begin(ctx, "greeting"); err != nil {
		return err
	}
	defer c.end()
	text, err := c.status("greeting")
	if err != nil {
		return err
	}
	c.greeting = pop3.Sanitize(text)
	c.timestamp = pop3.Timestamp(text)
	return nil
}

// Greeting gives the text of the server's greeting, fit for a terminal.
func (c *Client) Greeting() string { return c.greeting }

// OffersAPOP reports whether the greeting holds a timestamp for APOP (RFC 1939
// section 7).
func (c *Client) OffersAPOP() bool { return c.timestamp != "" }

// TLS gives the state of the TLS connection that New was given, or that Dial
// or STLS made. Ok is false on a connection in clear text.
func (c *Client) TLS() (state tls.ConnectionState, ok bool) {
	conn := c.conn
	if conn == net.Conn(c.base) {
		conn = c.base.Conn
	}
	t, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return tls.ConnectionState{}, false
	}
	return t.ConnectionState(), true
}

// Abort closes the connection without QUIT: the server deletes nothing (RFC
// 1939 section 6). It may be called at any time and from any goroutine, and a
// call that is running then ends in ErrClosed. Twice, or after Quit, it does
// nothing.
func (c *Client) Abort() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil
	}
	c.err = ErrClosed
	if c.stop != nil {
		c.stop()
	}
	return c.cut()
}

// cut closes the connection at once. Under TLS no farewell is sent: it could
// wait for a peer that does not read.
func (c *Client) cut() error {
	if t, ok := c.base.Conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn().Close()
	}
	return c.base.Conn.Close()
}

// begin starts an operation, unless another one runs or the session is of no
// use. From now on the context may interrupt it. Name is for errors.
func (c *Client) begin(ctx context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.busy:
		return ErrBusy
	case ctx.Err() != nil:
		return fmt.Errorf("pop3client: %s: %w", name, ctx.Err())
	}
	if n := c.r.Buffered(); n > 0 {
		c.err = &ProtocolError{Command: name, Reason: fmt.Sprintf("the server sent %d octets that nobody asked for", n)}
		c.cut()
		return c.err
	}
	c.busy, c.ctx = true, ctx
	operation := c.base.begin()
	if ctx.Done() != nil {
		c.stop = context.AfterFunc(ctx, func() { c.base.interrupt(operation) })
	}
	return nil
}

// end ends the operation that begin started.
func (c *Client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
	c.base.begin() // whatever the context does from now on, it interrupts nothing
	c.busy, c.ctx = false, nil
}
