package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/maildrop/maildir"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(scarceConfig); file != "" {
		scarceServer(file)
		return
	}
	goleak.VerifyTestMain(m)
}

// log is a buffer that goroutines may share.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newConfig is a configuration below a folder of the test: the user anna with
// the password "secret", an empty Maildir, free ports.
func newConfig(t *testing.T) *config.Config {
	t.Helper()
	dir := t.TempDir()
	c := config.Default()
	c.State = filepath.Join(dir, "state")
	c.Hostname = "mail.example.org"
	c.POP3.Listen = []string{"127.0.0.1:0"}
	c.POP3S.Listen = []string{"127.0.0.1:0"}
	c.Console.Listen = nil
	c.Maildrops.Path = filepath.Join(dir, "mail", "{user}")
	c.Users.File = filepath.Join(dir, "users")
	c.Limits.ShutdownGrace = 5 * time.Second
	writeUsers(t, c, "anna:{PLAIN}secret\n")
	store, err := maildir.New(c.MaildirOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Create(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	return c
}

func writeUsers(t *testing.T, c *config.Config, text string) {
	t.Helper()
	if err := os.WriteFile(c.Users.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, c *config.Config) (*Daemon, *log) {
	t.Helper()
	l := new(log)
	d, err := New(c, slog.New(slog.NewTextHandler(l, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, l
}

// trust gives client options that trust the server's certificate file.
func trust(t *testing.T, file string) *pop3client.Options {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &pop3client.Options{TLSConfig: &tls.Config{RootCAs: roots}}
}

func logIn(t *testing.T, c *pop3client.Client, err error, password string) error {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort() })
	return c.Login(t.Context(), "anna", password)
}

func TestServe(t *testing.T) {
	cfg := newConfig(t)
	store, err := maildir.New(cfg.MaildirOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Deliver(t.Context(), "anna", strings.NewReader("Subject: x\n\n.\nhello")); err != nil {
		t.Fatal(err)
	}
	d, l := start(t, cfg)
	addrs := d.Addrs()
	if len(addrs) != 2 || addrs[0].Protocol != "pop3" || addrs[1].Protocol != "pop3s" || strings.HasSuffix(addrs[1].Addr.String(), ":0") {
		t.Fatalf("addresses %v", addrs)
	}
	opts := trust(t, pairBelow(cfg.State).Certificate)
	for _, way := range []string{"STLS", "TLS"} {
		var c *pop3client.Client
		if way == "TLS" {
			c, err = pop3client.Dial(t.Context(), addrs[1].Addr.String(), opts)
		} else {
			c, err = pop3client.DialSTLS(t.Context(), addrs[0].Addr.String(), opts)
		}
		if err := logIn(t, c, err, "secret"); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		stat, err := c.Stat(t.Context())
		if want := (pop3.Stat{Messages: 1, Octets: 24}); err != nil || stat != want {
			t.Errorf("%s: STAT %+v, %v; want %+v", way, stat, err, want)
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
	c, err := pop3client.Dial(t.Context(), addrs[1].Addr.String(), opts)
	var refused *pop3.Error
	if err := logIn(t, c, err, "Secret"); !errors.As(err, &refused) || refused.Code != pop3.Auth {
		t.Errorf("wrong password: %v", err)
	}
	if err := d.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"listening", "session=", "rip=127.0.0.1", "user=anna", "self-signed"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, l)
		}
	}
	if strings.Contains(strings.ToLower(l.String()), "secret") {
		t.Errorf("a password is in the log:\n%s", l)
	}
}

func TestClearTextPasswords(t *testing.T) {
	for _, require := range []bool{true, false} {
		cfg := newConfig(t)
		cfg.POP3.RequireTLS = require
		d, _ := start(t, cfg)
		c, err := pop3client.DialInsecure(t.Context(), d.Addrs()[0].Addr.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Abort()
		err = c.User(t.Context(), "anna")
		if err == nil {
			err = c.Pass(t.Context(), "secret")
		}
		if (err != nil) != require {
			t.Errorf("require_tls %v: %v", require, err)
		}
	}
}

// TestALPN: RFC 7301 section 3.2. "pop3" and nothing are accepted.
func TestALPN(t *testing.T) {
	cfg := newConfig(t)
	d, _ := start(t, cfg)
	opts := trust(t, pairBelow(cfg.State).Certificate)
	for _, c := range []struct {
		offer []string
		least uint16
		most  uint16
		ok    bool
	}{
		{nil, 0, 0, true},
		{[]string{"pop3"}, 0, 0, true},
		{[]string{"imap", "pop3"}, 0, 0, true},
		{[]string{"http/1.1"}, 0, 0, false},
		{nil, tls.VersionTLS12, tls.VersionTLS12, true},
		{nil, tls.VersionTLS10, tls.VersionTLS11, false},
	} {
		config := opts.TLSConfig.Clone()
		config.ServerName, config.NextProtos, config.MinVersion, config.MaxVersion = "localhost", c.offer, c.least, c.most
		dialer := tls.Dialer{Config: config}
		conn, err := dialer.DialContext(t.Context(), "tcp", d.Addrs()[1].Addr.String())
		if (err == nil) != c.ok {
			t.Errorf("ALPN %q, TLS %x to %x: %v", c.offer, c.least, c.most, err)
		}
		if err == nil {
			if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; slices.Contains(c.offer, "pop3") != (got == "pop3") {
				t.Errorf("ALPN %q gave %q", c.offer, got)
			}
			conn.Close()
		}
	}
}

func TestReload(t *testing.T) {
	cfg := newConfig(t)
	other := t.TempDir()
	first, err := SelfSigned(filepath.Join(other, "1"), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	second, err := SelfSigned(filepath.Join(other, "2"), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLS.Certificate, cfg.TLS.Key = []string{filepath.Join(other, "cert.pem")}, []string{filepath.Join(other, "key.pem")}
	install := func(p Pair) {
		for from, to := range map[string]string{p.Certificate: cfg.TLS.Certificate[0], p.Key: cfg.TLS.Key[0]} {
			data, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	install(first)
	d, l := start(t, cfg)
	addr := d.Addrs()[1].Addr.String()
	works := func(p Pair, password string) {
		t.Helper()
		c, err := pop3client.Dial(t.Context(), addr, trust(t, p.Certificate))
		if err := logIn(t, c, err, password); err != nil {
			t.Fatal(err)
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Error(err)
		}
	}
	works(first, "secret")

	install(second)
	writeUsers(t, cfg, "anna:{PLAIN}other\n")
	if err := d.Reload(); err != nil {
		t.Fatal(err)
	}
	works(second, "other")

	if err := os.WriteFile(cfg.TLS.Key[0], []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeUsers(t, cfg, "broken\n")
	err = d.Reload()
	if err == nil || !strings.Contains(err.Error(), "key.pem") || !strings.Contains(err.Error(), "users:1") {
		t.Errorf("reload of broken files: %v", err)
	}
	works(second, "other")
	if n := strings.Count(l.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d errors logged, want 2:\n%s", n, l)
	}
}

// TestRunDrains: a session after login may go on to its QUIT, and deletes.
func TestRunDrains(t *testing.T) {
	cfg := newConfig(t)
	d, l := start(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), trust(t, pairBelow(cfg.State).Certificate))
	if err := logIn(t, c, err, "secret"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Wait(ctx) }()
	cancel()
	if err := c.Quit(t.Context()); err != nil {
		t.Errorf("QUIT while the server drains: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Wait: %v", err)
	}
	if strings.Contains(l.String(), "sessions were cut") {
		t.Errorf("a session was cut:\n%s", l)
	}
	if _, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), nil); err == nil {
		t.Error("a connection was accepted after the end")
	}
}

func TestRunCutsAfterGrace(t *testing.T) {
	cfg := newConfig(t)
	cfg.Limits.ShutdownGrace = 20 * time.Millisecond
	d, l := start(t, cfg)
	c, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), trust(t, pairBelow(cfg.State).Certificate))
	if err := logIn(t, c, err, "secret"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Wait(ctx); err != nil {
		t.Error(err)
	}
	if !strings.Contains(l.String(), "sessions were cut") {
		t.Errorf("log:\n%s", l)
	}
}

func TestRunStopsOnListenerFailure(t *testing.T) {
	cfg := newConfig(t)
	d, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.failed <- errors.New("accept: broken")
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "accept: broken") {
		t.Errorf("Run: %v", err)
	}
}

func TestNewErrors(t *testing.T) {
	cases := map[string]struct {
		spoil func(c *config.Config)
		want  string
	}{
		"no users file": {func(c *config.Config) { os.Remove(c.Users.File); c.File = "p.toml" }, "`poplin user add --config p.toml NAME` makes it"},
		"broken users":  {func(c *config.Config) { os.WriteFile(c.Users.File, []byte("x\n"), 0o600) }, "users:1: "},
		"open users":    {func(c *config.Config) { os.Chmod(c.Users.File, 0o644) }, "chmod o="},
		"no cert":       {func(c *config.Config) { c.TLS.Certificate, c.TLS.Key = []string{"/none/c"}, []string{"/none/k"} }, "certificate /none/c with key /none/k"},
		"state a file":  {func(c *config.Config) { c.State = c.Users.File }, "set tls.certificate and tls.key"},
		"bad path":      {func(c *config.Config) { c.Maildrops.Path = "/nowhere" }, "maildrops: "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := newConfig(t)
			tc.spoil(cfg)
			if _, err := New(cfg, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestBindErrors(t *testing.T) {
	cfg := newConfig(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg.POP3S.Listen = []string{taken.Addr().String()}
	d, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "is in use: another server") || len(d.Addrs()) != 0 {
		t.Errorf("Start: %v, addresses %v", err, d.Addrs())
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{os.NewSyscallError("bind", os.ErrPermission), "pop3.listen: bind: permission denied"},
		{&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", errEACCES)}, "setcap cap_net_bind_service=+ep"},
		{&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", errEADDRNOTAVAIL)}, "this machine has no address 192.0.2.1:110"},
	} {
		if err := bindError("pop3", "192.0.2.1:110", c.err); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.err, err, c.want)
		}
	}
}

func TestMemoryStore(t *testing.T) {
	cfg := newConfig(t)
	cfg.Maildrops.Store = config.Memory
	d, _ := start(t, cfg)
	c, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), trust(t, pairBelow(cfg.State).Certificate))
	if err := logIn(t, c, err, "secret"); err != nil {
		t.Fatal(err)
	}
	if stat, err := c.Stat(t.Context()); err != nil || stat.Messages != 0 {
		t.Errorf("STAT %v, %v", stat, err)
	}
}

func TestLoggerFollowsTheConfiguration(t *testing.T) {
	cfg := config.Default()
	cfg.Log.Format, cfg.Log.Level = config.JSON, "warn"
	var b bytes.Buffer
	l := NewLogger(cfg, &b)
	l.Info("no")
	l.Warn("yes")
	if got := b.String(); !strings.HasPrefix(got, "{") || !strings.Contains(got, `"msg":"yes"`) || strings.Contains(got, `"no"`) {
		t.Errorf("log %q", got)
	}
}
