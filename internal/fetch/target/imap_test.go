package target

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/pop3test"
	"github.com/poplin-mail/poplin/sasl"
)

// folders is an IMAP server, and what was appended there.
type folders struct {
	*imapserver.Server
	user  *imapmemserver.User
	login func(mech string) gosasl.Server
	mechs []string

	mu       sync.Mutex
	sessions int
	letters  []appended
	refuse   func(l appended) error
	deaf     bool // a search for a header finds nothing
}

type appended struct {
	folder, text string
	opts         imap.AppendOptions
}

type folderSession struct {
	imapserver.Session
	f *folders
}

func (s *folderSession) Append(folder string, r imap.LiteralReader, opts *imap.AppendOptions) (*imap.AppendData, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if int64(len(text)) < r.Size() {
		return nil, io.ErrUnexpectedEOF // which this library does not tell
	}
	l := appended{folder, string(text), *opts}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.f.refuse != nil {
		if err := s.f.refuse(l); err != nil {
			return nil, err
		}
	}
	data, err := s.Session.Append(folder, sized{strings.NewReader(l.text)}, opts)
	if err == nil {
		s.f.letters = append(s.f.letters, l)
	}
	return data, err
}

type sized struct{ *strings.Reader }

func (s sized) Size() int64 { return int64(s.Len()) }

func (s *folderSession) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, opts *imap.SearchOptions) (*imap.SearchData, error) {
	if s.f.deaf {
		return &imap.SearchData{All: imap.UIDSet{}}, nil
	}
	return s.Session.Search(kind, criteria, opts)
}

// saslSession offers mechanisms too.
type saslSession struct{ *folderSession }

func (s saslSession) AuthenticateMechanisms() []string { return s.f.mechs }

func (s saslSession) Authenticate(mech string) (gosasl.Server, error) {
	return &then{s.f.login(mech), func() error { return s.Login("anna", "s3cret") }}, nil
}

// then does something behind a login.
type then struct {
	gosasl.Server
	do func() error
}

func (s *then) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = s.Server.Next(response)
	if done && err == nil {
		err = s.do()
	}
	return challenge, done, err
}

// newFolders starts a server, and gives options for a target that uses it.
func newFolders(t *testing.T, set func(f *folders, o *imapserver.Options), opts IMAPOptions) (*folders, IMAPOptions) {
	t.Helper()
	f := &folders{user: imapmemserver.NewUser("anna", "s3cret")}
	if err := f.user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	memory := imapmemserver.New()
	memory.AddUser(f.user)
	serverTLS, clientTLS := pop3test.TLSConfigs()
	o := &imapserver.Options{
		Caps:   imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}, imap.CapLiteralPlus: {}, imap.CapUnselect: {}},
		Logger: log.New(io.Discard, "", 0), InsecureAuth: opts.Security == Insecure, TLSConfig: serverTLS,
	}
	if set != nil {
		set(f, o)
	}
	o.NewSession = func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.sessions++
		s := &folderSession{memory.NewSession(), f}
		if f.login != nil {
			return saslSession{s}, &imapserver.GreetingData{}, nil
		}
		return s, &imapserver.GreetingData{}, nil
	}
	f.Server = imapserver.New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts.Address = l.Addr().String()
	opts.TLSConfig = clientTLS
	if opts.Security == TLS {
		l = tls.NewListener(l, serverTLS)
	}
	done := make(chan error, 1)
	go func() { done <- f.Serve(l) }()
	t.Cleanup(func() {
		f.Server.Close()
		<-done
	})
	if opts.User == "" {
		opts.Credentials = Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s3cret", nil }}
	}
	opts.Staging = t.TempDir()
	return f, opts
}

func openIMAP(t *testing.T, opts IMAPOptions) *IMAP {
	t.Helper()
	s, err := OpenIMAP(disk.OS{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// literal gives a message as it should be appended.
func literal(t *testing.T, i int, text string) string {
	t.Helper()
	all, err := io.ReadAll(wireForm(id(i), strings.NewReader(text), true))
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// TestIMAP appends messages in every way.
func TestIMAP(t *testing.T) {
	for name, tt := range map[string]struct {
		opts IMAPOptions
		caps imap.CapSet
	}{
		"TLS":           {},
		"STARTTLS":      {opts: IMAPOptions{ServerOptions: ServerOptions{Security: StartTLS}}},
		"clear text":    {opts: IMAPOptions{ServerOptions: ServerOptions{Security: Insecure}}},
		"an old server": {caps: imap.CapSet{imap.CapIMAP4rev1: {}}},
		"LITERAL-":      {caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapLiteralMinus: {}, imap.CapSASLIR: {}}},
		"a folder":      {opts: IMAPOptions{Folder: "Altes/Bücher & Hefte", MakeFolder: true, Flags: []string{`\Seen`, "$Fetched"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f, opts := newFolders(t, func(_ *folders, o *imapserver.Options) {
				if tt.caps != nil {
					o.Caps = tt.caps
				}
			}, tt.opts)
			s := openIMAP(t, opts)
			texts := letters()
			for i := range 40 { // more than are sent ahead
				texts = append(texts, fmt.Sprintf("Subject: %d\n\n%s", i, strings.Repeat("text\n", i*100)))
			}
			batch, notes := prepared(t, s, texts...)
			settled(t, s, batch[0], notes[0], Staged)
			for _, part := range [][]*Message{batch[:4], batch[4:]} {
				for i, err := range s.Deliver(t.Context(), part) {
					if err != nil {
						t.Errorf("message %d: %v", i, err)
					}
				}
			}
			if f.sessions != 1 || len(f.letters) != len(texts) {
				t.Fatalf("%d messages in %d sessions", len(f.letters), f.sessions)
			}
			for i, l := range f.letters {
				folder := "INBOX"
				if opts.Folder != "" {
					folder = opts.Folder
				}
				if l.text != literal(t, i, texts[i]) || l.folder != folder || len(l.opts.Flags) != len(opts.Flags) {
					t.Errorf("message %d in %q with %q: %.300q", i, l.folder, l.opts.Flags, l.text)
				}
			}
			if got := f.letters[0].opts.Time.UTC().Format(time.DateTime); got != "2026-11-27 09:00:00" {
				t.Errorf("the date is %s", got)
			}
			if !f.letters[1].opts.Time.IsZero() {
				t.Errorf("a message without a date has %v", f.letters[1].opts.Time)
			}
			for i, m := range batch {
				if head, _, _ := strings.Cut(texts[i], "\n"); head == "" || strings.Contains(head, ": ") { // or else this server finds no header
					settled(t, s, m, notes[i], Delivered)
				}
			}
		})
	}
}

// TestIMAPSettle: a message is found by what came since it was prepared, and
// where the folder was numbered anew, by a search.
func TestIMAPSettle(t *testing.T) {
	f, opts := newFolders(t, nil, IMAPOptions{})
	s := openIMAP(t, opts)
	deliver(t, s, "before\n")
	batch, notes := prepared(t, s, "Subject: one\n\n", "Subject: two\n\n")
	if notes[0] != "1 2" { // UIDVALIDITY, and the UID behind the message before
		t.Errorf("the note is %q", notes[0])
	}
	other := openIMAP(t, opts)
	if err := other.Deliver(t.Context(), batch[1:])[0]; err != nil {
		t.Fatal(err)
	}
	for _, deaf := range []bool{false, true} {
		f.deaf = deaf
		settled(t, s, batch[0], notes[0], Staged)
		settled(t, s, batch[1], notes[1], Delivered)
		for _, note := range []string{"", "junk", "12345 1"} {
			want := Delivered
			if deaf {
				want = Staged
			}
			settled(t, s, batch[0], note, Staged)
			settled(t, s, batch[1], note, want)
		}
	}
	f.deaf = false
	s.Discard(id(0))
	s.Discard(id(1))
	settled(t, s, batch[0], notes[0], Absent)
	settled(t, s, batch[1], notes[1], Delivered)
	// The connection goes on behind that.
	deliver(t, s, "three\n")
	if f.sessions != 2 {
		t.Errorf("%d sessions", f.sessions)
	}
}

// TestIMAPLogin logs in by each mechanism.
func TestIMAPLogin(t *testing.T) {
	password := func(context.Context) (string, error) { return "s3cret", nil }
	token := func(context.Context) (string, error) { return "t0ken", nil }
	keys, err := sasl.DeriveKeys(sasl.SHA256, "s3cret", []byte("salt"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	login := func(mech string) gosasl.Server {
		switch mech {
		case gosasl.Plain:
			return gosasl.NewPlainServer(func(_, user, secret string) error {
				if user != "anna" || secret != "s3cret" {
					return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeAuthenticationFailed, Text: "not " + secret}
				}
				return nil
			})
		case gosasl.OAuthBearer, sasl.XOAUTH2:
			return sasl.NewBearerServer(mech, func(user, secret string) error {
				if user != "anna" || secret != "t0ken" {
					return &sasl.BearerError{Status: "invalid_token"}
				}
				return nil
			})
		}
		return sasl.NewSCRAMServer(sasl.SHA256, false, sasl.Binding{}, false, func(string, string) (sasl.Keys, error) { return keys, nil })
	}
	for _, tt := range []struct {
		mechs       []string
		credentials Credentials
		want, err   string
	}{
		{[]string{"PLAIN", "SCRAM-SHA-256"}, Credentials{User: "anna", Password: password}, "SCRAM-SHA-256", ""},
		{[]string{"PLAIN"}, Credentials{User: "anna", Password: password}, "PLAIN", ""},
		{[]string{"XOAUTH2", "OAUTHBEARER"}, Credentials{User: "anna", Token: token}, "OAUTHBEARER", ""},
		{[]string{"XOAUTH2"}, Credentials{User: "anna", Token: token}, "XOAUTH2", ""},
		{[]string{"XOAUTH2"}, Credentials{User: "bela", Token: token}, "XOAUTH2", "invalid_token"},
		{[]string{"PLAIN"}, Credentials{User: "bela", Password: password}, "PLAIN", "the server says: NO [AUTHENTICATIONFAILED] not [...]"},
		{[]string{"PLAIN"}, Credentials{User: "anna", Token: token}, "", "takes no token"},
		{[]string{"CRAM-MD5"}, Credentials{User: "anna", Password: password}, "", ""}, // by LOGIN
		{[]string{"CRAM-MD5"}, Credentials{User: "bela", Password: password}, "", "login as bela"},
	} {
		for _, ir := range []bool{false, true} {
			var used string
			_, opts := newFolders(t, func(f *folders, o *imapserver.Options) {
				f.mechs = tt.mechs
				f.login = func(mech string) gosasl.Server { used = mech; return login(mech) }
				if ir {
					o.Caps[imap.CapSASLIR] = struct{}{}
				}
			}, IMAPOptions{Credentials: tt.credentials})
			s := openIMAP(t, opts)
			batch := staged(t, s, "one\n")
			_, errs := s.Prepare(t.Context(), batch)
			if got := fmt.Sprint(errs[0]); tt.err == "" && errs[0] != nil || !strings.Contains(got, tt.err) || strings.Contains(got, "s3cret") || strings.Contains(got, "t0ken") {
				t.Errorf("%q: %v, want %q", tt.mechs, errs[0], tt.err)
			}
			if errors.As(errs[0], new(*Refusal)) {
				t.Errorf("%q: the message is refused", tt.mechs)
			}
			if used != tt.want {
				t.Errorf("%q: %s was used, want %s", tt.mechs, used, tt.want)
			}
		}
	}
}

// TestIMAPStartTLS: without it nothing is sent, and what comes in clear text
// behind the answer is an attack.
func TestIMAPStartTLS(t *testing.T) {
	for want, lines := range map[string][]string{
		"the server says: S NO":        {"* OK ready", "S NO not now"},
		"the server says: * PREAUTH":   {"* PREAUTH welcome"},
		"the server says: * BYE":       {"* BYE full"},
		"sends more behind its answer": {"* OK ready", "* OK so\r\nS OK go\r\n* OK injected"},
		"TLS with":                     {"* OK ready", "S OK go", "no TLS at all"},
	} {
		want = strings.Replace(want, "S NO", "NO not now", 1)
		var heard []string
		done := make(chan bool)
		server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
			defer close(done)
			for i, line := range lines {
				if i > 0 {
					heard = append(heard, p.hear())
				}
				p.say(line)
			}
			p.SetReadDeadline(time.Now().Add(10 * time.Second))
			rest, _ := io.ReadAll(p.r)
			heard = append(heard, string(rest))
		})
		s := openIMAP(t, IMAPOptions{ServerOptions: ServerOptions{Address: server.addr, Security: StartTLS}, Staging: t.TempDir(),
			Credentials: Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s3cret", nil }}})
		batch := staged(t, s, "one\n")
		_, errs := s.Prepare(t.Context(), batch)
		if errs[0] == nil || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%q: %v", lines, errs[0])
		}
		<-done
		for _, line := range heard {
			if strings.Contains(line, "LOGIN") || strings.Contains(line, "AUTH") {
				t.Errorf("%q: the server heard %q", lines, heard)
			}
		}
	}
}

// TestIMAPFolder: a folder that is missing is made only when that is wanted, and
// a password goes to this machine only in clear text.
func TestIMAPFolder(t *testing.T) {
	_, opts := newFolders(t, nil, IMAPOptions{Folder: "Archive"})
	s := openIMAP(t, opts)
	batch := staged(t, s, "one\n")
	if _, errs := s.Prepare(t.Context(), batch); errs[0] == nil || !strings.Contains(errs[0].Error(), "the folder Archive cannot be used") {
		t.Errorf("a missing folder: %v", errs[0])
	}
	_, opts = newFolders(t, nil, IMAPOptions{ServerOptions: ServerOptions{Security: Insecure, Dialer: new(remote)}})
	s = openIMAP(t, opts)
	batch = staged(t, s, "one\n")
	if _, errs := s.Prepare(t.Context(), batch); !errors.Is(errs[0], errExposed) {
		t.Errorf("in clear text: %v", errs[0])
	}
}

// TestIMAPOptions: what cannot work is refused at once.
func TestIMAPOptions(t *testing.T) {
	fine := IMAPOptions{ServerOptions: ServerOptions{Address: "imap.example.org:993"}, Staging: t.TempDir(),
		Credentials: Credentials{User: "anna@example.org", Password: func(context.Context) (string, error) { return "", nil }}}
	if s := openIMAP(t, fine); s.Name() != "imap:anna@example.org@imap.example.org/INBOX" {
		t.Errorf("the name is %q", s.Name())
	}
	for want, change := range map[string]func(o *IMAPOptions){
		"is not host:port":   func(o *IMAPOptions) { o.Address = "imap.example.org" },
		"unix socket":        func(o *IMAPOptions) { o.Address = "unix:/run/x" },
		"no user name":       func(o *IMAPOptions) { o.Credentials = Credentials{} },
		"control characters": func(o *IMAPOptions) { o.Folder = "a\r\nb" },
		"is no flag":         func(o *IMAPOptions) { o.Flags = []string{"Seen Deleted"} },
		`\Recent" is no`:     func(o *IMAPOptions) { o.Flags = []string{`\Seen`, `\Recent`} },
		"no folder":          func(o *IMAPOptions) { o.Staging = "" },
	} {
		opts := fine
		change(&opts)
		if _, err := OpenIMAP(disk.OS{}, opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
