package target

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/pop3"
)

// SMTPOptions say where messages go by SMTP or LMTP. ServerOptions.Address,
// Recipient and Staging must be set.
type SMTPOptions struct {
	ServerOptions
	Credentials // for SMTP AUTH
	Staging     string

	LMTP      bool // the protocol is LMTP (RFC 2033)
	Recipient string

	// Sender is the envelope sender: empty for that of the first Return-Path,
	// if there is one, and "<>" for none.
	Sender string

	Hello string // what this machine calls itself; empty: its name
}

// SMTP hands messages to a server by SMTP (RFC 5321) or LMTP (RFC 2033). A
// server that was cut off before it said that it has a message may have it: it
// gets that again, with the same X-Poplin-Id, by which a Sieve script can tell
// (RFC 7352):
//
//	if duplicate :header "X-Poplin-Id" { discard; }
//
// An MTA that finds its own Delivered-To in what it gets takes that for a loop,
// as Postfix does: where mail comes from a server for the same address, deliver
// to another one.
type SMTP struct {
	staging
	opts SMTPOptions

	held
	client  *smtp.Client // nil: not connected
	conn    *conn
	carried bool // the connection had a message already
}

// OpenSMTP makes the target. It does not connect yet.
func OpenSMTP(fsys disk.FS, opts SMTPOptions) (*SMTP, error) {
	s := &SMTP{}
	err := cmp.Or(opts.ServerOptions.check(), opts.Credentials.check())
	_, unix := opts.socket()
	switch {
	case err != nil:
	case unix && !opts.LMTP:
		err = errors.New("only LMTP is spoken over a unix socket")
	case !validPath(opts.Recipient):
		err = fmt.Errorf("the recipient %q is no address", pop3.Sanitize(opts.Recipient))
	case opts.Sender != "" && opts.Sender != "<>" && !validPath(opts.Sender):
		err = fmt.Errorf("the sender %q is no address", pop3.Sanitize(opts.Sender))
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", opts.protocol(), opts.Address, err)
	}
	if opts.Hello == "" {
		opts.Hello = helo()
	}
	s.opts = opts
	if s.staging, err = newStaging(fsys, opts.Staging, s.Name()); err != nil {
		return nil, err
	}
	return s, nil
}

// validPath tells whether text may stand between angle brackets.
func validPath(text string) bool { return text != "" && parsePath("<"+text+">") == text }

func (o *SMTPOptions) protocol() string {
	if o.LMTP {
		return "lmtp"
	}
	return "smtp"
}

var _ Target = (*SMTP)(nil)

// Name implements Target.
func (s *SMTP) Name() string {
	return s.opts.protocol() + ":" + s.opts.Address + " " + s.opts.Recipient
}

// Batch implements Target.
func (s *SMTP) Batch() int { return 1 }

// Prepare implements Target.
func (s *SMTP) Prepare(_ context.Context, batch []*Message) ([]string, []error) {
	return make([]string, len(batch)), s.sync(batch)
}

// Settle implements Target.
func (s *SMTP) Settle(_ context.Context, m *Message, _ string) (Outcome, error) {
	return s.settle(m), nil
}

// Deliver implements Target: one connection for the batch.
func (s *SMTP) Deliver(ctx context.Context, batch []*Message) []error {
	s.take()
	defer s.give(s.quit)
	errs := make([]error, len(batch))
	var down error
	for i, m := range batch {
		if errs[i] = cmp.Or(down, ctx.Err()); errs[i] != nil {
			continue
		}
		err := s.attempt(ctx, m)
		// Some servers end each session after a number of messages.
		if errors.As(err, new(*endedEarly)) && ctx.Err() == nil {
			err = s.attempt(ctx, m)
		}
		if errs[i] = err; err != nil && !errors.As(err, new(*Refusal)) {
			down = err
		}
	}
	return errs
}

// attempt sends one message, on the connection that there is or a new one.
func (s *SMTP) attempt(ctx context.Context, m *Message) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	err := s.deliver(ctx, m)
	s.carried = true
	return err
}

// connect sees to it that there is a connection.
func (s *SMTP) connect(ctx context.Context) error {
	if s.client != nil && s.mayBeGone() {
		if within(ctx, s.opts.Timeout, s.conn, s.client.Noop) != nil {
			s.drop()
		}
	}
	if s.client != nil {
		return nil
	}
	c, err := s.opts.dial(ctx)
	if err != nil {
		return err
	}
	// Greeting, TLS and login, each of several steps.
	err = within(ctx, 4*s.opts.Timeout, c, func() error { return s.begin(ctx, c) })
	if err != nil {
		c.Close()
		s.client = nil
		return err
	}
	s.conn, s.used, s.carried = c, time.Now(), false
	return nil
}

// greeted is a connection on which the greeting has been read, which the
// library wants to see.
type greeted struct {
	net.Conn
	line *strings.Reader
}

// Read implements net.Conn.
func (g *greeted) Read(p []byte) (int, error) {
	if g.line.Len() > 0 {
		return g.line.Read(p)
	}
	return g.Conn.Read(p)
}

// begin brings a connection to where messages can be sent.
func (s *SMTP) begin(ctx context.Context, c *conn) error {
	verb, make := "EHLO", smtp.NewClient
	if s.opts.LMTP {
		verb, make = "LHLO", smtp.NewClientLMTP
	}
	var nc net.Conn = c
	var state *tls.ConnectionState
	if _, unix := s.opts.socket(); !unix && s.opts.Security != Insecure {
		if s.opts.Security == StartTLS {
			if err := startTLS(c, verb, s.opts.Hello); err != nil {
				return s.opts.at("before TLS", err)
			}
		}
		secured, err := s.opts.secure(ctx, c, "")
		if err != nil {
			return err
		}
		known := secured.ConnectionState()
		nc, state = secured, &known
		if s.opts.Security == StartTLS {
			nc = &greeted{secured, strings.NewReader("220 \r\n")}
		}
	}
	s.client = make(nc)
	s.client.CommandTimeout = s.opts.Timeout
	s.client.SubmissionTimeout = max(s.opts.Timeout, endTimeout)
	if err := s.client.Hello(s.opts.Hello); err != nil {
		return s.opts.greeting(said(err))
	}
	return s.login(ctx, c, state)
}

// endTimeout is how long a server may take when it has the whole message (RFC
// 5321 section 4.5.3.2.6): who gives up before makes it come twice.
const endTimeout = 10 * time.Minute

// login logs in, if there is something to log in with.
func (s *SMTP) login(ctx context.Context, c *conn, state *tls.ConnectionState) error {
	if s.opts.User == "" {
		return nil
	}
	if state == nil && exposed(c) {
		return errExposed
	}
	secret, err := s.opts.secret(ctx)
	if err != nil {
		return err
	}
	_, offered := s.client.Extension("AUTH")
	m, err := s.opts.mechanism(strings.Fields(offered), secret, state)
	if err != nil {
		return err
	}
	if err := s.client.Auth(m); err != nil {
		if cut(err) {
			return s.opts.at("at the login", err)
		}
		return refusedLogin(s.opts.User, secret, said(err))
	}
	return complete(m)
}

// drop ends the connection at once.
func (s *SMTP) drop() {
	if s.client != nil {
		s.conn.Close()
		s.client = nil
	}
}

// quit ends it politely.
func (s *SMTP) quit() {
	if s.client != nil {
		s.conn.step()
		s.client.CommandTimeout = quitTimeout
		s.client.Quit()
		s.drop()
	}
}

// quitTimeout is how long a server has to answer a farewell.
const quitTimeout = 2 * time.Second

// Close implements Target.
func (s *SMTP) Close() error {
	s.take()
	s.quit()
	s.mu.Unlock()
	return nil
}
