package pop3server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

// logBuffer gathers log lines of several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// waitSessions waits until the server has n sessions.
func waitSessions(srv *pop3server.Server, n int) {
	for srv.Sessions() != n {
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
}

func waitEmpty(srv *pop3server.Server) { waitSessions(srv, 0) }

func TestNewRefusesWhatCannotWork(t *testing.T) {
	config, _ := certificate()
	for name, c := range map[string]struct {
		store maildrop.Store
		auth  pop3server.Authenticator
		opts  pop3server.Options
	}{
		"no store":         {nil, somebody, clear},
		"no authenticator": {store(t), nil, clear},
		"no way to log in": {store(t), somebody, pop3server.Options{}},
		"no APOP":          {store(t), failing{}, pop3server.Options{APOP: true, TLSConfig: config}},
	} {
		if _, err := pop3server.New(c.store, c.auth, c.opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	srv, err := pop3server.New(store(t), somebody, clear)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	if err := srv.ServeTLS(l); err == nil || errors.Is(err, pop3server.ErrServerClosed) {
		t.Errorf("ServeTLS without a configuration: %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is still open")
	}
	srv.Close()
	l, _ = net.Listen("tcp", "127.0.0.1:0")
	if err := srv.Serve(l); !errors.Is(err, pop3server.ErrServerClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestImplicitTLS(t *testing.T) {
	config, client := certificate()
	srv, err := pop3server.New(store(t, "x\n"), somebody, pop3server.Options{TLSConfig: config, LoginTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- srv.ServeTLS(l) }()
	p := dialRaw(t, l.Addr().String()).overTLS()
	p.want("+OK")
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
	p.do("STAT", "+OK 1 3")
	p.do("QUIT", "+OK")

	for name, change := range map[string]func(*tls.Config){
		"TLS 1.1":       func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"ALPN of HTTP":  func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} },
		"no handshake":  func(c *tls.Config) { c.ServerName = "another.example" },
		"ALPN of POP3+": func(c *tls.Config) { c.NextProtos = []string{"pop3s"} },
	} {
		c := client.Clone()
		change(c)
		if conn, err := tls.Dial("tcp", l.Addr().String(), c); err == nil {
			t.Errorf("%s: connected", name)
			conn.Close()
		}
	}
	c := client.Clone()
	c.NextProtos = []string{"pop3"}
	conn, err := tls.Dial("tcp", l.Addr().String(), c)
	if err != nil || conn.ConnectionState().NegotiatedProtocol != pop3.ALPN {
		t.Errorf("ALPN: %v", err)
	} else {
		conn.Close()
	}
	plainly := dialRaw(t, l.Addr().String())
	plainly.send("CAPA\r\n")
	if b, _ := io.ReadAll(plainly.r); bytes.Contains(b, []byte("OK")) {
		t.Errorf("clear text on the TLS port: %q", b)
	}
	srv.Close()
	<-done
}

func TestOctetsBehindSTLSAreAnAttack(t *testing.T) {
	config, _ := certificate()
	var log logBuffer
	s := store(t, "x\n")
	_, addr := serve(t, s, somebody, pop3server.Options{TLSConfig: config, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	p := dial(t, addr)
	p.send("STLS\r\nUSER mrose\r\nPASS secret\r\n")
	p.closed()
	if !strings.Contains(log.String(), "octets behind STLS") {
		t.Errorf("log: %s", &log)
	}
	p = dial(t, addr)
	p.do("LANG de", "+OK")
	p.do("STLS", "+OK")
	p = p.overTLS()
	p.do("NOOP", "-ERR Log in first") // in English: the language is forgotten
	p.do("STLS", "-ERR")

	p = dial(t, addr)
	p.do("STLS", "+OK")
	p.send("USER mrose\r\n") // not a handshake
	if b, _ := io.ReadAll(p.r); bytes.Contains(b, []byte("+OK")) {
		t.Errorf("after a broken handshake: %q", b)
	}
}

func TestLimitsOfConnections(t *testing.T) {
	opts := clear
	opts.MaxSessionsPerAddr = 2
	srv, addr := serve(t, store(t), somebody, opts)
	dial(t, addr)
	second := dial(t, addr)
	third := dialRaw(t, addr)
	third.want("-ERR [SYS/TEMP] Too many connections")
	third.closed()
	second.do("QUIT", "+OK")
	waitSessions(srv, 1)
	dial(t, addr)

	opts = clear
	opts.MaxSessions, opts.MaxSessionsPerAddr = 1, -1
	_, addr = serve(t, store(t), somebody, opts)
	login(t, addr)
	dialRaw(t, addr).want("-ERR [SYS/TEMP]")
}

// flaky is a listener whose Accept fails at first as with EMFILE.
type flaky struct {
	net.Listener
	mu    sync.Mutex
	fails int
	err   error
}

func (f *flaky) Accept() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails--; f.fails >= 0 {
		return nil, f.err
	}
	return f.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, &flaky{Listener: l, fails: 3, err: &net.OpError{Op: "accept", Err: syscall.EMFILE}}, store(t), somebody, clear)
	dial(t, l.Addr().String())

	srv, _ := pop3server.New(store(t), somebody, clear)
	l, _ = net.Listen("tcp", "127.0.0.1:0")
	if err := srv.Serve(&flaky{Listener: l, fails: 1, err: errors.New("gone")}); err == nil || errors.Is(err, pop3server.ErrServerClosed) {
		t.Errorf("Serve over a broken listener: %v", err)
	}
}

func TestSecondSessionIsToldInUse(t *testing.T) {
	srv, addr := serve(t, store(t, "x\n"), somebody, clear)
	first := login(t, addr)
	second := dial(t, addr)
	second.do("USER mrose", "+OK")
	second.do("PASS secret", "-ERR [IN-USE]")
	second.do("USER other", "+OK")
	second.do("PASS secret", "+OK")
	first.Close()
	waitSessions(srv, 1)
	login(t, addr).do("QUIT", "+OK")
	login(t, addr).do("QUIT", "+OK") // free when QUIT is answered
}

func TestShutdownLetsSessionsFinish(t *testing.T) {
	s := store(t, "a\n", "b\n")
	srv, addr := serve(t, s, somebody, clear)
	early := dial(t, addr)
	late := login(t, addr)
	late.do("DELE 1", "+OK")
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(context.Background()) }()
	early.closed()
	late.do("NOOP", "+OK")
	late.do("QUIT", "+OK")
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := len(left(t, s)); n != 1 {
		t.Errorf("%d messages left", n)
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	s := store(t, "a\n")
	srv, addr := serve(t, s, somebody, clear)
	p := login(t, addr)
	p.do("DELE 1", "+OK")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	p.closed()
	if n := len(left(t, s)); n != 1 {
		t.Errorf("%d messages left", n)
	}
}

func TestSummaryLine(t *testing.T) {
	var log logBuffer
	opts := clear
	opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	srv, addr := serve(t, store(t, "a\n", "b\n"), somebody, opts)
	p := dial(t, addr)
	p.do("USER no\x1b[2Jbody", "+OK")
	p.do("PASS hunter2", "-ERR")
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
	p.do("RETR 1", "+OK")
	p.lines()
	p.do("DELE 1", "+OK")
	p.do("QUIT", "+OK")
	waitEmpty(srv)
	text := log.String()
	for _, want := range []string{
		`msg="login failed" session=\w+ rip=127\.0\.0\.1 user=no\?\[2Jbody mechanism=USER`,
		`msg="logged in" session=\w+ rip=127\.0\.0\.1 user=mrose mechanism=USER tls=false messages=2 octets=6`,
		`msg="session ended" session=\w+ rip=127\.0\.0\.1 user=mrose reason=quit state=UPDATE tls=false octets_in=\d+ octets_out=\d+ retrieved=1 deleted=1 duration=`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("log lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "hunter2") || strings.Contains(text, "secret") {
		t.Errorf("a password is logged:\n%s", text)
	}
}
