// Package diagnose explains in words why a login at a POP3 server fails. It goes
// the way of a session step by step - name, connection, TLS, greeting,
// capabilities, mechanisms, login - and says of each what it found, and where
// it ends what to do about it. Begin with Explain.
//
// Every step has a deadline. Texts hold nothing secret, and what a server said
// is made fit for a terminal.
package diagnose

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// Security is how the connection is protected.
type Security string

// The values of the key security of an account.
const (
	TLS      Security = "tls"      // from the first octet
	STLS     Security = "stls"     // in clear text until STLS
	Insecure Security = "insecure" // in clear text
)

// DefaultTimeout is how long a step may take.
const DefaultTimeout = 15 * time.Second

// patience is how many times longer a login may take: servers exist that read
// every message of a maildrop first.
const patience = 6

// Target is the account whose login is to be explained.
type Target struct {
	Host     string // a name or an address
	Port     int    // 0 stands for 995 with TLS, and 110 otherwise
	Security Security

	// TLSConfig is as pop3client.Options.TLSConfig, with what the account
	// trusts and pins.
	TLSConfig *tls.Config

	// Mechanisms is as pop3client.Options.Mechanisms.
	Mechanisms []string

	// Token says that the account logs in with a token of OAuth 2.0 and not
	// with a password.
	Token bool

	// Timeout is how long a step may take, the login six times that. Zero
	// stands for DefaultTimeout.
	Timeout time.Duration

	// Resolver and Dialer stand for the machine's own where they are nil.
	Resolver interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}
	Dialer interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	}
}

// The names of the steps, in their order. Connection comes once for each
// address; with STLS the capabilities come again after TLS.
const (
	Name         = "name"
	Connection   = "connection"
	Handshake    = "TLS"
	Greeting     = "greeting"
	Capabilities = "capabilities"
	Mechanisms   = "mechanisms"
	Login        = "login"
)

// Step is what was found at one step.
type Step struct {
	Name   string `json:"step"`
	OK     bool   `json:"ok"`
	Text   string `json:"text"`             // what was found, in one line
	Advice string `json:"advice,omitempty"` // what to do about it; may stand at what is OK, too
}

// Explain tries a session, and gives the steps up to the first that failed. A
// connection that fails is no end where another address takes one. Login logs
// in with the client; nil ends the session before. Nothing is retrieved or
// deleted.
func Explain(ctx context.Context, t Target, login func(ctx context.Context, c *pop3client.Client) error) []Step {
	x := &explainer{Target: t}
	switch t.Security {
	case TLS:
		x.port(pop3.PortTLS)
	case STLS, Insecure:
		x.port(pop3.Port)
	default:
		x.failed(Handshake, fmt.Sprintf("security %q is not known", pop3.Sanitize(string(t.Security))), `use "tls", "stls" or "insecure"`)
		return x.steps
	}
	if x.Timeout <= 0 {
		x.Timeout = DefaultTimeout
	}
	x.session(ctx, login)
	return x.steps
}

// explainer gathers the steps.
type explainer struct {
	Target
	steps []Step
	conn  net.Conn // of the address that took the connection
	addr  string   // that address
}

func (x *explainer) port(usual int) {
	if x.Port == 0 {
		x.Port = usual
	}
}

func (x *explainer) ok(name, text, advice string)     { x.add(name, true, text, advice) }
func (x *explainer) failed(name, text, advice string) { x.add(name, false, text, advice) }

func (x *explainer) add(name string, ok bool, text, advice string) {
	x.steps = append(x.steps, Step{name, ok, text, advice})
}

// session goes through the steps until one fails.
func (x *explainer) session(ctx context.Context, login func(context.Context, *pop3client.Client) error) {
	addrs := x.resolve(ctx)
	if len(addrs) == 0 || !x.connect(ctx, addrs) {
		return
	}
	defer func() { x.conn.Close() }()
	if x.Security == TLS && !x.handshake(ctx) {
		return
	}
	c := x.greet(ctx)
	if c == nil {
		return
	}
	defer c.Abort()
	caps, ok := x.capabilities(ctx, c)
	if ok && x.Security == STLS {
		if ok = x.stls(ctx, c, caps); ok {
			caps, ok = x.capabilities(ctx, c)
		}
	}
	if ok && x.mechanisms(c, caps) && login != nil {
		x.login(ctx, c, login)
	}
}

// within gives a step its deadline.
func (x *explainer) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, x.Timeout)
}
