package target

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gosasl "github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/pop3test"
	"github.com/poplin-mail/poplin/sasl"
)

// post is a server of SMTP or LMTP, and what it was given.
type post struct {
	*smtp.Server
	login func(mech string) gosasl.Server
	mechs []string

	mu       sync.Mutex
	sessions int
	letters  []letter
	refuse   func(l letter) error
}

type letter struct {
	from, to, text string
	opts           smtp.MailOptions
}

// NewSession implements smtp.Backend.
func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions++
	return &postSession{post: p}, nil
}

type postSession struct {
	post *post
	now  letter
	in   bool
}

func (s *postSession) AuthMechanisms() []string { return s.post.mechs }

func (s *postSession) Auth(mech string) (gosasl.Server, error) {
	s.in = true
	return s.post.login(mech), nil
}

func (s *postSession) Reset()        { s.now = letter{} }
func (s *postSession) Logout() error { return nil }

func (s *postSession) Mail(from string, opts *smtp.MailOptions) error {
	if s.post.login != nil && !s.in {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "log in first"}
	}
	s.now.from, s.now.opts = from, *opts
	return nil
}

func (s *postSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.now.to = to
	return nil
}

func (s *postSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.now.text = string(text)
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	if s.post.refuse != nil {
		if err := s.post.refuse(s.now); err != nil {
			return err
		}
	}
	s.post.letters = append(s.post.letters, s.now)
	return nil
}

// newPost starts a server, and gives options for a target that uses it.
func newPost(t *testing.T, network string, set func(p *post), opts SMTPOptions) (*post, SMTPOptions) {
	t.Helper()
	p := &post{}
	p.Server = smtp.NewServer(p)
	p.Domain, p.LMTP, p.AllowInsecureAuth = "mx.example.org", opts.LMTP, true
	p.ErrorLog = log.New(io.Discard, "", 0)
	p.MaxMessageBytes, p.ReadTimeout, p.WriteTimeout = 1<<20, time.Minute, time.Minute
	if set != nil {
		set(p)
	}
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "sock")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	serverTLS, clientTLS := pop3test.TLSConfigs()
	opts.Address = l.Addr().String()
	switch {
	case network == "unix":
		opts.Address = "unix:" + address
	case opts.Security == StartTLS:
		p.TLSConfig = serverTLS
	case opts.Security == TLS:
		l = tls.NewListener(l, serverTLS)
	}
	opts.TLSConfig = clientTLS
	done := make(chan error, 1)
	go func() { done <- p.Serve(l) }()
	t.Cleanup(func() {
		p.Server.Close()
		<-done
	})
	if opts.Recipient == "" {
		opts.Recipient = "anna@example.org"
	}
	opts.Staging = t.TempDir()
	return p, opts
}

func openSMTP(t *testing.T, opts SMTPOptions) *SMTP {
	t.Helper()
	s, err := OpenSMTP(disk.OS{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func onWire(t *testing.T, i int, text string) string {
	t.Helper()
	all, err := io.ReadAll(wireForm(id(i), strings.NewReader(text), false))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(all), "\r\n") + "\r\n"
}

// TestSMTP hands messages over in every way, two batches on one connection.
func TestSMTP(t *testing.T) {
	for name, opts := range map[string]SMTPOptions{
		"SMTP over TLS":      {},
		"SMTP with STARTTLS": {ServerOptions: ServerOptions{Security: StartTLS}},
		"SMTP in clear text": {ServerOptions: ServerOptions{Security: Insecure}},
		"LMTP over TLS":      {LMTP: true},
		"LMTP with STARTTLS": {LMTP: true, ServerOptions: ServerOptions{Security: StartTLS}},
		"LMTP in clear text": {LMTP: true, ServerOptions: ServerOptions{Security: Insecure}},
		"LMTP over a socket": {LMTP: true},
	} {
		t.Run(name, func(t *testing.T) {
			network := "tcp"
			if strings.HasSuffix(name, "socket") {
				network = "unix"
			}
			p, opts := newPost(t, network, nil, opts)
			s := openSMTP(t, opts)
			texts := letters()
			batch, notes := prepared(t, s, texts...)
			settled(t, s, batch[0], notes[0], Staged)
			for _, part := range [][]*Message{batch[:4], batch[4:]} {
				for i, err := range s.Deliver(t.Context(), part) {
					if err != nil {
						t.Errorf("message %d: %v", i, err)
					}
				}
			}
			if p.sessions > 2 || len(p.letters) != len(texts) {
				t.Fatalf("%d messages in %d sessions", len(p.letters), p.sessions)
			}
			for i, l := range p.letters {
				from := ""
				if i == 0 {
					from = "anna@example.org"
				}
				want := onWire(t, i, texts[i])
				if l.text != want || l.from != from || l.to != "anna@example.org" {
					t.Errorf("message %d is %q from %q to %q, want %q", i, l.text, l.from, l.to, want)
				}
				if n := int64(len(want)); l.opts.Size > n || l.opts.Size < n-2 || l.opts.Body != smtp.Body8BitMIME {
					t.Errorf("message %d: the options are %+v, want size %d", i, l.opts, n)
				}
			}
			s.Discard(id(0))
			settled(t, s, batch[0], notes[0], Absent)
		})
	}
}

// TestSMTPLogin logs in by each mechanism.
func TestSMTPLogin(t *testing.T) {
	password := func(context.Context) (string, error) { return "s3cret", nil }
	token := func(context.Context) (string, error) { return "t0ken", nil }
	keys, err := sasl.DeriveKeys(sasl.SHA256, "s3cret", []byte("salt"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) func(string, string) error {
		return func(user, secret string) error {
			if user != "anna" || secret != want {
				return errors.New("wrong password " + secret) // a server that talks
			}
			return nil
		}
	}
	login := func(mech string) gosasl.Server {
		switch mech {
		case gosasl.Plain:
			return gosasl.NewPlainServer(func(_, user, secret string) error { return check("s3cret")(user, secret) })
		case sasl.Login:
			return sasl.NewLoginServer(check("s3cret"))
		case gosasl.OAuthBearer, sasl.XOAUTH2:
			return sasl.NewBearerServer(mech, func(user, secret string) error {
				if check("t0ken")(user, secret) != nil {
					return &sasl.BearerError{Status: "invalid_token"}
				}
				return nil
			})
		}
		return sasl.NewSCRAMServer(sasl.SHA256, false, sasl.Binding{}, false, func(string, string) (sasl.Keys, error) { return keys, nil })
	}
	all := []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"}
	for _, tt := range []struct {
		mechs       []string
		credentials Credentials
		want, err   string
	}{
		{all, Credentials{User: "anna", Password: password}, "SCRAM-SHA-256", ""},
		{[]string{"LOGIN", "plain"}, Credentials{User: "anna", Password: password}, "PLAIN", ""},
		{[]string{"LOGIN"}, Credentials{User: "anna", Password: password}, "LOGIN", ""},
		{all, Credentials{User: "anna", Token: token}, "OAUTHBEARER", ""},
		{[]string{"XOAUTH2"}, Credentials{User: "anna", Token: token}, "XOAUTH2", ""},
		{[]string{"PLAIN"}, Credentials{User: "anna", Token: token}, "", "the server takes no token"},
		{[]string{"CRAM-MD5"}, Credentials{User: "anna", Password: password}, "", "no way to log in that is known"},
		{nil, Credentials{User: "anna", Password: password}, "", "no way to log in that is known"},
		{[]string{"PLAIN"}, Credentials{User: "bela", Password: password}, "PLAIN", "login as bela"},
		{[]string{"XOAUTH2"}, Credentials{User: "bela", Token: token}, "XOAUTH2", "invalid_token"},
		{all, Credentials{}, "", "530"},
		{all, Credentials{User: "anna", Password: func(context.Context) (string, error) { return "", errors.New("no keyring") }}, "", "no keyring"},
		{all, Credentials{User: "anna", Password: func(context.Context) (string, error) { return "a\r\nb", nil }}, "", "control character"},
	} {
		var used string
		p, opts := newPost(t, "tcp", func(p *post) {
			p.mechs = tt.mechs
			p.login = func(mech string) gosasl.Server { used = mech; return login(mech) }
		}, SMTPOptions{Credentials: tt.credentials})
		p.AllowInsecureAuth = false
		s := openSMTP(t, opts)
		batch, _ := prepared(t, s, "one\n", "two\n")
		errs := s.Deliver(t.Context(), batch)
		if got := fmt.Sprint(errs[0]); tt.err == "" && errs[0] != nil || !strings.Contains(got, tt.err) || strings.Contains(got, "s3cret") || strings.Contains(got, "t0ken") {
			t.Errorf("%q: %v, want %q", tt.mechs, errs[0], tt.err)
		}
		if errors.As(errs[0], new(*Refusal)) || (errs[0] == nil) != (errs[1] == nil) {
			t.Errorf("%q: the messages are refused: %v", tt.mechs, errs)
		}
		if used != tt.want {
			t.Errorf("%q: %s was used, want %s", tt.mechs, used, tt.want)
		}
	}
}

// TestSMTPServerUnknown: with SCRAM the server must know the password too.
func TestSMTPServerUnknown(t *testing.T) {
	s := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
		p.say("220 mx")
		p.hear()
		p.say("250-mx", "250 AUTH SCRAM-SHA-256")
		p.hear()
		p.say("235 2.7.0 welcome")
		p.hang()
	})
	target := openSMTP(t, SMTPOptions{ServerOptions: ServerOptions{Address: s.addr, Security: Insecure}, Recipient: "a@b", Staging: t.TempDir(),
		Credentials: Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s3cret", nil }}})
	batch, _ := prepared(t, target, "one\n")
	if err := target.Deliver(t.Context(), batch)[0]; !errors.Is(err, sasl.ErrServer) {
		t.Errorf("a server that proves nothing: %v", err)
	}
}

// TestSMTPCertificate: that of another server is refused, and nothing is said.
func TestSMTPCertificate(t *testing.T) {
	for _, security := range []Security{TLS, StartTLS} {
		p, opts := newPost(t, "tcp", nil, SMTPOptions{ServerOptions: ServerOptions{Security: security}})
		opts.TLSConfig = opts.TLSConfig.Clone()
		opts.TLSConfig.ServerName = "other.example.org"
		s := openSMTP(t, opts)
		batch, _ := prepared(t, s, "one\n")
		if err := s.Deliver(t.Context(), batch)[0]; err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%v", err)
		}
		if len(p.letters) > 0 {
			t.Error("it has the message")
		}
	}
}

// TestSMTPSenders: who the sender is.
func TestSMTPSenders(t *testing.T) {
	for _, tt := range []struct {
		sender, recipient, path, want string
		utf8                          bool
	}{
		{"", "", "anna@example.org", "anna@example.org", false},
		{"", "", "", "", false},
		{"", "", "bücher@example.org", "", false},
		{"", "", "bücher@example.org", "bücher@example.org", true},
		{"<>", "", "anna@example.org", "", false},
		{"bela@example.org", "", "anna@example.org", "bela@example.org", false},
		{"", "bücher@example.org", "anna@example.org", "anna@example.org", true},
	} {
		p, opts := newPost(t, "tcp", func(p *post) { p.EnableSMTPUTF8 = tt.utf8 },
			SMTPOptions{ServerOptions: ServerOptions{Security: Insecure}, LMTP: true, Sender: tt.sender, Recipient: tt.recipient})
		s := openSMTP(t, opts)
		deliver(t, s, "Return-Path: <"+tt.path+">\n\n")
		if got := p.letters[0]; got.from != tt.want || got.to != opts.Recipient {
			t.Errorf("%+v: from %q to %q", tt, got.from, got.to)
		}
	}
	_, opts := newPost(t, "tcp", nil, SMTPOptions{ServerOptions: ServerOptions{Security: Insecure}, Recipient: "bücher@example.org"})
	s := openSMTP(t, opts)
	batch, _ := prepared(t, s, "one\n")
	if err := s.Deliver(t.Context(), batch)[0]; err == nil || errors.As(err, new(*Refusal)) {
		t.Errorf("a recipient that the server does not take: %v", err)
	}
}

// TestSMTPTooLarge: what the server says it does not take is not sent.
func TestSMTPTooLarge(t *testing.T) {
	p, opts := newPost(t, "tcp", func(p *post) { p.MaxMessageBytes = 200 }, SMTPOptions{ServerOptions: ServerOptions{Security: Insecure}})
	s := openSMTP(t, opts)
	batch, _ := prepared(t, s, strings.Repeat("text\n", 100), "small\n")
	errs := s.Deliver(t.Context(), batch)
	if got := verdict(errs[0]); !strings.HasPrefix(got, "permanent: the message has 647 octets, and the server takes 200") || errs[1] != nil {
		t.Errorf("%q, %v", got, errs[1])
	}
	if len(p.letters) != 1 {
		t.Errorf("%d messages", len(p.letters))
	}
}

// TestSMTPGone: a connection that the server has ended meanwhile is replaced.
func TestSMTPGone(t *testing.T) {
	p, opts := newPost(t, "tcp", nil, SMTPOptions{ServerOptions: ServerOptions{Security: Insecure}})
	s := openSMTP(t, opts)
	deliver(t, s, "one\n")
	s.conn.Conn.Close()
	s.used = time.Time{}
	deliver(t, s, "two\n")
	if len(p.letters) != 2 {
		t.Errorf("%d messages", len(p.letters))
	}
}

// TestSMTPUnreadable: a message that cannot be read to its end is not ended.
func TestSMTPUnreadable(t *testing.T) {
	p, opts := newPost(t, "tcp", nil, SMTPOptions{ServerOptions: ServerOptions{Security: Insecure}})
	s := openSMTP(t, opts)
	batch, _ := prepared(t, s, strings.Repeat("a line of text\n", 20000))
	reads, at := 0, 1
	for ; ; at++ {
		reads = 0
		s.staging.fs = failingReads{disk.OS{}, &reads, at}
		err := s.Deliver(t.Context(), batch)[0]
		if err == nil {
			break
		}
		if errors.As(err, new(*Refusal)) {
			t.Errorf("read %d fails: %v", at, err)
		}
	}
	s.Close()
	p.Server.Close() // which ends its sessions
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.letters) != 1 || at < 10 {
		t.Errorf("the server has %d messages, %d reads failed", len(p.letters), at-1)
	}
}

// failingReads is a file system of which a read fails.
type failingReads struct {
	disk.FS
	reads *int
	at    int
}

func (f failingReads) OpenFile(name string, flag int, perm os.FileMode) (disk.File, error) {
	opened, err := f.FS.OpenFile(name, flag, perm)
	return &failingFile{opened, f}, err
}

type failingFile struct {
	disk.File
	fs failingReads
}

func (f *failingFile) ReadAt(p []byte, at int64) (int, error) {
	if *f.fs.reads++; *f.fs.reads == f.fs.at {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(p, at)
}

// TestSMTPOptions: what cannot work is refused at once.
func TestSMTPOptions(t *testing.T) {
	fine := SMTPOptions{ServerOptions: ServerOptions{Address: "mx.example.org:25"}, Recipient: "anna@example.org", Staging: t.TempDir()}
	if s := openSMTP(t, fine); s.Name() != "smtp:mx.example.org:25 anna@example.org" {
		t.Errorf("the name is %q", s.Name())
	}
	for want, change := range map[string]func(o *SMTPOptions){
		"is not host:port": func(o *SMTPOptions) { o.Address = "mx.example.org" },
		"only LMTP":        func(o *SMTPOptions) { o.Address = "unix:/run/x" },
		"the path":         func(o *SMTPOptions) { o.Address, o.LMTP = "unix:", true },
		"the recipient":    func(o *SMTPOptions) { o.Recipient = "a b" },
		"the recipient \"": func(o *SMTPOptions) { o.Recipient = "a>\r\nRSET" },
		"the recipient ":   func(o *SMTPOptions) { o.Recipient = "" },
		"the sender":       func(o *SMTPOptions) { o.Sender = "<a@b>" },
		"no user name":     func(o *SMTPOptions) { o.Password = func(context.Context) (string, error) { return "", nil } },
		"neither password": func(o *SMTPOptions) { o.User = "anna" },
		"no folder":        func(o *SMTPOptions) { o.Staging = "" },
	} {
		opts := fine
		change(&opts)
		if _, err := OpenSMTP(disk.OS{}, opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// remote is a dialer of which connections seem to leave this machine.
type remote struct{ net.Dialer }

// DialContext makes the connection.
func (r *remote) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := r.Dialer.DialContext(ctx, network, address)
	return addressed{c, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}, err
}

// TestSMTPExposed: mail may go in clear text, a password may not.
func TestSMTPExposed(t *testing.T) {
	asked := false
	for _, user := range []string{"", "anna"} {
		p, opts := newPost(t, "tcp", nil, SMTPOptions{ServerOptions: ServerOptions{Security: Insecure, Dialer: new(remote)}})
		if user != "" {
			opts.Credentials = Credentials{User: user, Password: func(context.Context) (string, error) { asked = true; return "s3cret", nil }}
		}
		s := openSMTP(t, opts)
		batch, _ := prepared(t, s, "one\n")
		if err := s.Deliver(t.Context(), batch)[0]; (err != nil) != (user != "") || err != nil && !errors.Is(err, errExposed) || asked {
			t.Errorf("user %q: %v", user, err)
		}
		if len(p.letters) == 0 && user == "" {
			t.Error("no message came")
		}
	}
}

// TestExposed: in clear text a secret goes nowhere but to this machine.
func TestExposed(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:25": false, "[::1]:25": false, "192.0.2.1:25": true, "[2001:db8::1]:25": true, "": true} {
		tcp, _ := net.ResolveTCPAddr("tcp", addr)
		if got := exposed(addressed{addr: tcp}); got != want {
			t.Errorf("%q is exposed: %v", addr, got)
		}
	}
	if exposed(addressed{addr: &net.UnixAddr{}}) || !exposed(addressed{addr: &net.UDPAddr{}}) {
		t.Error("sockets")
	}
}

type addressed struct {
	net.Conn
	addr net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.addr }
