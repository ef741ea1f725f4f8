package target

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/pop3"
)

// IMAPOptions say into which folder of what server messages go.
// ServerOptions.Address, the Credentials and Staging must be set.
type IMAPOptions struct {
	ServerOptions
	Credentials
	Staging string

	// Folder is where messages go; empty: INBOX. With Gmail a folder is a
	// label, and a message that is put there has that label alone: it skips the
	// inbox, unless the folder is INBOX.
	Folder     string
	MakeFolder bool // make the folder where it is missing

	// Flags are for each message, such as \Seen. Without them it is new.
	Flags []string
}

// IMAP appends messages to a folder of an IMAP server (RFC 9051 section 6.3.12),
// dated as they arrived where they come from. Before that the journal notes up
// to what unique identifier (UID) the folder has messages: after a run that was
// broken off, what has come to the folder since is searched for the message's
// X-Poplin-Id. No message comes twice, then, unless a mail program took it
// elsewhere within that time. Should the folder have been numbered anew, the
// server is asked to search for the field, which not all can: Stalwart, for one,
// knows common fields only.
type IMAP struct {
	staging
	opts  IMAPOptions
	flags []imap.Flag

	held
	client *imapclient.Client // nil: not connected
	conn   *conn
	mark   mark
}

// OpenIMAP makes the target. It does not connect yet.
func OpenIMAP(fsys disk.FS, opts IMAPOptions) (*IMAP, error) {
	opts.Folder = cmp.Or(opts.Folder, "INBOX")
	t := &IMAP{opts: opts}
	err := cmp.Or(t.opts.ServerOptions.check(), t.opts.Credentials.check())
	_, unix := opts.socket()
	switch {
	case err != nil:
	case unix:
		err = errors.New("IMAP is not spoken over a unix socket")
	case opts.User == "":
		err = errors.New("there is no user name")
	case strings.ContainsFunc(opts.Folder, func(r rune) bool { return r < ' ' || r == 0x7f }):
		err = fmt.Errorf("the folder %q holds control characters", pop3.Sanitize(opts.Folder))
	}
	for _, f := range opts.Flags {
		if !validFlag(f) && err == nil {
			err = fmt.Errorf("%q is no flag", pop3.Sanitize(f))
		}
		t.flags = append(t.flags, imap.Flag(f))
	}
	if err != nil {
		return nil, fmt.Errorf("imap %s: %w", opts.Address, err)
	}
	if t.staging, err = newStaging(fsys, opts.Staging, t.Name()); err != nil {
		return nil, err
	}
	return t, nil
}

// validFlag follows RFC 9051 section 9. \Recent is the server's.
func validFlag(f string) bool {
	name := strings.TrimPrefix(f, `\`)
	return name != "" && !strings.EqualFold(f, `\Recent`) && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`(){%*"\]`, r)
	})
}

var _ Target = (*IMAP)(nil)

// Name implements Target. The usual ports are left out.
func (t *IMAP) Name() string {
	server := t.opts.Address
	if host, port, _ := net.SplitHostPort(server); port == "993" || port == "143" {
		server = host
	}
	return "imap:" + t.opts.User + "@" + server + "/" + t.opts.Folder
}

// Batch implements Target.
func (t *IMAP) Batch() int { return batchMessages }

// Prepare implements Target. The note is up to where the folder has messages.
func (t *IMAP) Prepare(ctx context.Context, batch []*Message) ([]string, []error) {
	t.take()
	defer t.give(t.logout)
	notes, errs := make([]string, len(batch)), t.sync(batch)
	err := t.connect(ctx)
	for i := range batch {
		if errs[i] == nil {
			errs[i] = err
		}
		notes[i] = t.mark.String()
	}
	return notes, errs
}

// Deliver implements Target.
func (t *IMAP) Deliver(ctx context.Context, batch []*Message) []error {
	t.take()
	defer t.give(t.logout)
	a := &appending{t: t, errs: make([]error, len(batch))}
	for i, m := range batch {
		if a.errs[i] = cmp.Or(a.down, ctx.Err()); a.errs[i] == nil {
			a.errs[i] = a.append(ctx, i, m)
		}
	}
	a.collect(ctx, 0)
	return a.errs
}

// connect sees to it that there is a connection, with the folder there.
func (t *IMAP) connect(ctx context.Context) error {
	if t.client != nil && t.mayBeGone() {
		if within(ctx, t.opts.Timeout, t.conn, func() error { return t.client.Noop().Wait() }) != nil {
			t.drop()
		}
	}
	if t.client != nil {
		return nil
	}
	c, err := t.opts.dial(ctx)
	if err != nil {
		return err
	}
	// Greeting, TLS, login and folder, each of several steps.
	err = within(ctx, 4*t.opts.Timeout, c, func() error { return t.begin(ctx, c) })
	t.conn, t.used = c, time.Now()
	if err != nil {
		c.Close() // the library may not have it yet
		t.drop()
	}
	return err
}

// begin brings a connection to where messages can be appended.
func (t *IMAP) begin(ctx context.Context, c *conn) error {
	var nc net.Conn = c
	var state *tls.ConnectionState
	if t.opts.Security != Insecure {
		if t.opts.Security == StartTLS {
			if err := imapStartTLS(c); err != nil {
				return t.opts.at("before TLS", err)
			}
		}
		secured, err := t.opts.secure(ctx, c, "imap")
		if err != nil {
			return err
		}
		known := secured.ConnectionState()
		nc, state = secured, &known
		if t.opts.Security == StartTLS {
			nc = &greeted{secured, strings.NewReader("* OK\r\n")}
		}
	}
	t.client = imapclient.New(nc, nil)
	if err := within(ctx, t.opts.Timeout, c, t.client.WaitGreeting); err != nil {
		return fmt.Errorf("%s: %w", t.opts.Address, t.opts.greeting(plain(err))) // of the end the library tells no more
	}
	if err := t.login(ctx, c, state); err != nil {
		return err
	}
	t.client.Caps() // which change with the login: until they are known, nothing is sent ahead
	return t.opts.at("when it was asked for the folder", t.folder())
}

// login logs in.
func (t *IMAP) login(ctx context.Context, c *conn, state *tls.ConnectionState) error {
	if t.client.State() == imap.ConnStateAuthenticated {
		return nil // the server knows the user otherwise
	}
	if state == nil && exposed(c) {
		return errExposed
	}
	secret, err := t.opts.secret(ctx)
	if err != nil {
		return err
	}
	caps := t.client.Caps()
	if caps == nil {
		return errors.New("the server does not tell what it can")
	}
	m, err := t.opts.mechanism(caps.AuthMechanisms(), secret, state)
	switch {
	case err == nil:
		if err = t.client.Authenticate(m); err == nil {
			return complete(m)
		}
	case t.opts.Token == nil && !caps.Has(imap.CapLoginDisabled):
		err = t.client.Login(t.opts.User, secret).Wait()
	default:
		return err
	}
	if cut(err) {
		return t.opts.at("at the login", err)
	}
	if err != nil {
		err = refusedLogin(t.opts.User, secret, plain(err))
	}
	return err
}

// folder looks up to where the folder has messages, and makes it if that is
// wanted.
func (t *IMAP) folder() error {
	mark, err := t.status()
	var said *imap.Error
	if errors.As(err, &said) && t.opts.MakeFolder {
		if err := t.client.Create(t.opts.Folder, nil).Wait(); err != nil {
			return fmt.Errorf("the folder %s cannot be made: %w", pop3.Sanitize(t.opts.Folder), plain(err))
		}
		t.client.Subscribe(t.opts.Folder).Wait() // mail programs may show only such folders
		mark, err = t.status()
	}
	if errors.As(err, &said) {
		return fmt.Errorf("the folder %s cannot be used: %w", pop3.Sanitize(t.opts.Folder), plain(err))
	}
	t.mark = mark
	return err
}

func (t *IMAP) status() (mark, error) {
	data, err := t.client.Status(t.opts.Folder, &imap.StatusOptions{UIDNext: true, UIDValidity: true}).Wait()
	if err != nil {
		return mark{}, err
	}
	return mark{data.UIDValidity, data.UIDNext}, nil
}

// plain makes of a negative reply what a person can read.
func plain(err error) error {
	var e *imap.Error
	if !errors.As(err, &e) {
		return err
	}
	text := string(e.Type)
	if e.Code != "" {
		text += " [" + string(e.Code) + "]"
	}
	return errors.New("the server says: " + pop3.Sanitize(text+" "+e.Text))
}

// imapStartTLS has the server begin with TLS (RFC 9051 section 6.2.1).
func imapStartTLS(c net.Conn) error {
	r := wire.NewReader(c, 4<<10)
	greeting, err := r.ReadLine(replyLine)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(strings.ToUpper(string(greeting)), "* OK") { // PREAUTH, which leaves no room for TLS, or BYE
		return errors.New("the server says: " + pop3.Sanitize(string(greeting)))
	}
	if _, err := io.WriteString(c, "S STARTTLS\r\n"); err != nil {
		return err
	}
	for range 100 {
		line, err := r.ReadLine(replyLine)
		if err != nil {
			return err
		}
		text, ours := strings.CutPrefix(string(line), "S ")
		switch {
		case !ours:
		case !strings.HasPrefix(strings.ToUpper(text), "OK"):
			return errors.New("STARTTLS, which the configuration asks for: the server says: " + pop3.Sanitize(text))
		case r.Buffered() > 0:
			return errInjected
		default:
			return nil
		}
	}
	return errMuch
}

// drop ends the connection at once.
func (t *IMAP) drop() {
	if t.client != nil {
		t.conn.Close()
		t.client.Close()
		t.client = nil
	}
}

// logout ends it politely.
func (t *IMAP) logout() {
	if t.client != nil {
		within(context.Background(), quitTimeout, t.conn, func() error { return t.client.Logout().Wait() })
		t.drop()
	}
}

// Close implements Target.
func (t *IMAP) Close() error {
	t.take()
	t.logout()
	t.mu.Unlock()
	return nil
}
