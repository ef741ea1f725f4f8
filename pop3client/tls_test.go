package pop3client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// authority signs certificates for the tests, changed as each test needs.
type authority struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	roots *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &authority{key, cert, roots}
}

func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "mail.example.org"},
		DNSNames: []string{"mail.example.org"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// fakeDialer dials a server that is a function over the other end of a socket,
// and keeps the address that was asked for. It is no pipe, since both ends of a
// handshake that fails may write at once.
type fakeDialer struct {
	serve func(net.Conn) error
	addr  string
	done  chan error
}

func (d *fakeDialer) DialContext(_ context.Context, _, addr string) (net.Conn, error) {
	d.addr = addr
	d.done = make(chan error, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	theirs, err := l.Accept()
	if err != nil {
		return nil, err
	}
	go func() {
		defer theirs.Close()
		d.done <- d.serve(theirs)
	}()
	return ours, nil
}

// overTLS serves a script inside TLS.
func overTLS(config *tls.Config, script string) func(net.Conn) error {
	return func(conn net.Conn) error { return play(tls.Server(conn, config), script) }
}

func options(a *authority, d *fakeDialer) *Options {
	return &Options{Dialer: d, TLSConfig: &tls.Config{RootCAs: a.roots}, Timeout: 10 * time.Second}
}

func TestDial(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}, NextProtos: []string{"pop3"}}
	d := &fakeDialer{serve: overTLS(config, "S: +OK ready\n"+saslCapa+"C: AUTH PLAIN AHUAcA==\nS: +OK\nC: QUIT\nS: +OK")}
	c, err := Dial(t.Context(), "mail.example.org", options(a, d))
	must(t, err)
	state, ok := c.TLS()
	if !ok || state.NegotiatedProtocol != pop3.ALPN || d.addr != "mail.example.org:995" {
		t.Errorf("dialled %s, ALPN %q, TLS %v", d.addr, state.NegotiatedProtocol, ok)
	}
	must(t, c.Login(t.Context(), "u", "p"))
	must(t, c.Quit(t.Context()))
	must(t, <-d.done)
}

// A certificate that does not hold, a version that is too old, another
// protocol: no credential is sent, since there is no client to send it.
func TestDialRefusesServers(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	with := func(change func(*x509.Certificate)) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{a.issue(t, change)}}
	}
	old := with(nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	alpn := with(nil)
	alpn.NextProtos = []string{"imap"}
	for name, config := range map[string]*tls.Config{
		"expired":      with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"wrong host":   with(func(c *x509.Certificate) { c.DNSNames = []string{"mail.example.com"} }),
		"CN only":      with(func(c *x509.Certificate) { c.DNSNames = nil }),
		"unknown root": {Certificates: []tls.Certificate{other.issue(t, nil)}},
		"TLS 1.1":      old,
		"ALPN":         alpn,
	} {
		d := &fakeDialer{serve: overTLS(config, "S: +OK ready")}
		opts := options(a, d)
		opts.TLSConfig.MinVersion = tls.VersionTLS10
		c, err := Dial(t.Context(), "mail.example.org.", opts)
		if c != nil || err == nil || !strings.Contains(err.Error(), "TLS with mail.example.org") {
			t.Errorf("%s: %v, %v", name, c, err)
		}
		<-d.done
	}
	// The greeting is a refusal.
	d := &fakeDialer{serve: overTLS(with(nil), "S: -ERR [IN-USE] busy")}
	_, err := Dial(t.Context(), "mail.example.org:1995", options(a, d))
	wantRefusal(t, err, pop3.InUse, "busy")
	if d.addr != "mail.example.org:1995" {
		t.Errorf("dialled %s", d.addr)
	}
}

// serveSTLS takes STLS, says reply to it in the clear, and goes on in TLS.
func serveSTLS(config *tls.Config, reply, script string) func(net.Conn) error {
	return func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "+OK <1.2@example.org>\r\n"); err != nil {
			return err
		}
		line := make([]byte, len("STLS\r\n"))
		if _, err := io.ReadFull(conn, line); err != nil || string(line) != "STLS\r\n" {
			return errors.New("no STLS but " + string(line))
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return err
		}
		if config == nil {
			if rest, _ := io.ReadAll(conn); len(rest) > 0 {
				return errors.New("the client sent more: " + string(rest))
			}
			return nil
		}
		return play(tls.Server(conn, config), script)
	}
}

func TestDialSTLS(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}}
	d := &fakeDialer{serve: serveSTLS(config, "+OK begin\r\n", saslCapa+"C: AUTH PLAIN AHUAcA==\nS: +OK\nC: RETR 1\nS: +OK\nS: a\nS: .\nC: QUIT\nS: +OK")}
	c, err := DialSTLS(t.Context(), "mail.example.org", options(a, d))
	must(t, err)
	if _, ok := c.TLS(); !ok || d.addr != "mail.example.org:110" {
		t.Errorf("dialled %s, TLS %v", d.addr, ok)
	}
	if err := c.STLS(t.Context(), nil); !errors.Is(err, ErrArgument) {
		t.Errorf("STLS inside TLS gives %v", err)
	}
	must(t, c.Login(t.Context(), "u", "p"))
	m, err := c.Retr(t.Context(), 1)
	must(t, err)
	if text, err := io.ReadAll(m); string(text) != "a\r\n" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	must(t, c.Quit(t.Context()))
	must(t, <-d.done)
}

// STLS refused, answered by silence, by more than its reply, by a TLS server
// that cannot be trusted, by octets that are not TLS: an error, and no octet
// more in the clear.
func TestSTLSFails(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	for name, test := range map[string]struct {
		reply  string
		config *tls.Config
		check  func(error) bool
	}{
		"-ERR":    {"-ERR no TLS here\r\n", nil, isRefusal},
		"silence": {"", nil, func(err error) bool { return strings.Contains(err.Error(), "no progress") }},
		"more behind +OK": {"+OK\r\n+OK injected\r\n", nil, func(err error) bool {
			return errors.Is(err, ErrInjection)
		}},
		"silence in the handshake": {"+OK\r\n", nil, func(err error) bool {
			return errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout")
		}},
		"garbage": {"hello\r\n", nil, func(err error) bool { var e *ProtocolError; return errors.As(err, &e) }},
		"untrusted": {"+OK\r\n", &tls.Config{Certificates: []tls.Certificate{other.issue(t, nil)}}, func(err error) bool {
			var e *tls.CertificateVerificationError
			return errors.As(err, &e)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			serve := serveSTLS(test.config, test.reply, "")
			if name == "silence in the handshake" {
				serve = func(conn net.Conn) error {
					io.WriteString(conn, "+OK ready\r\n")
					conn.Read(make([]byte, 6))
					io.WriteString(conn, "+OK\r\n")
					io.Copy(io.Discard, conn)
					return nil
				}
			}
			d := &fakeDialer{serve: serve}
			opts := options(a, d)
			opts.Timeout = 50 * time.Millisecond
			if test.config != nil {
				opts.Timeout = 10 * time.Second
			}
			c, err := DialSTLS(t.Context(), "mail.example.org", opts)
			if c != nil || err == nil || !test.check(err) {
				t.Errorf("%v, %v", c, err)
			}
			if err := <-d.done; err != nil && test.config == nil {
				t.Error(err)
			}
		})
	}
}

// A client that asked for STLS in vain sends no password afterwards, even where
// clear text was allowed.
func TestSTLSRefusedBreaks(t *testing.T) {
	d := &fakeDialer{serve: serveSTLS(nil, "-ERR no\r\n", "")}
	c, err := DialInsecure(t.Context(), "mail.example.org", &Options{Dialer: d})
	must(t, err)
	err = c.STLS(t.Context(), nil)
	if got := c.Login(t.Context(), "u", "p"); got != err || !isRefusal(err) {
		t.Errorf("after STLS gave %v, Login gives %v", err, got)
	}
	wantBroken(t, c, err)
	must(t, <-d.done)
}

// Capabilities from before TLS are forgotten.
func TestSTLSForgets(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}}
	d := &fakeDialer{serve: serveSTLS(config, "+OK\r\n", "C: CAPA\nS: +OK\nS: USER\nS: .")}
	c, err := DialInsecure(t.Context(), "mail.example.org", &Options{Dialer: d})
	must(t, err)
	if _, ok := c.TLS(); ok {
		t.Error("TLS before STLS")
	}
	c.caps, c.capsKnown = pop3.Capabilities{{Name: pop3.CapPipelining}}, true
	must(t, c.STLS(t.Context(), &tls.Config{RootCAs: a.roots}))
	caps, err := c.capabilities(t.Context())
	if err != nil || caps.Has(pop3.CapPipelining) || !caps.Has(pop3.CapUser) {
		t.Errorf("capabilities %v, %v", caps, err)
	}
	must(t, c.Abort())
	must(t, <-d.done)
}

// TLS that ends without close_notify, and with it, in the middle of a message.
func TestTLSCut(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}}
	for _, notify := range []bool{false, true} {
		for cut := 0; cut < len(wireForm); cut += 5 {
			d := &fakeDialer{serve: func(conn net.Conn) error {
				secured := tls.Server(conn, config)
				io.WriteString(secured, "+OK ready\r\n")
				secured.Read(make([]byte, 100))
				io.WriteString(secured, wireForm[:cut])
				if notify {
					return secured.CloseWrite()
				}
				return nil
			}}
			c, err := Dial(t.Context(), "mail.example.org", options(a, d))
			must(t, err)
			m, err := c.Retr(t.Context(), 1)
			if err == nil {
				_, err = io.ReadAll(m)
			}
			wantUnexpectedEOF(t, err)
			wantBroken(t, c, err)
			<-d.done
		}
	}
}

// New over a caller's TLS connection takes passwords.
func TestNewOverTLS(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}}
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- overTLS(config, "S: +OK\nC: USER u\nS: +OK")(theirs) }()
	c, err := New(t.Context(), tls.Client(ours, &tls.Config{RootCAs: a.roots, ServerName: "mail.example.org"}), nil)
	must(t, err)
	must(t, c.User(t.Context(), "u"))
	must(t, c.Abort())
	must(t, <-done)
}

func TestAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"h": "h h:110", "h:1": "h h:1", "h:": "h h:110", "[::1]": "::1 [::1]:110", "::1": "::1 [::1]:110",
		"[::1]:5": "::1 [::1]:5", "192.0.2.1": "192.0.2.1 192.0.2.1:110",
	} {
		host, hostport, err := splitAddr(addr, 110)
		if got := host + " " + hostport; err != nil || got != want {
			t.Errorf("splitAddr(%q) gives %q, %v, want %q", addr, got, err, want)
		}
	}
	for _, addr := range []string{"", ":995", "a:b:c", "[]"} {
		for _, dial := range []func(context.Context, string, *Options) (*Client, error){Dial, DialSTLS, DialInsecure} {
			if _, err := dial(t.Context(), addr, nil); err == nil || !strings.Contains(err.Error(), "address") {
				t.Errorf("dialling %q gives %v", addr, err)
			}
		}
	}
}

// Dialling over sockets, and what becomes of it.
func TestDialSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = play(conn, "S: +OK\nC: USER u\nS: +OK\nC: PASS p\nS: +OK")
		}
		done <- err
	}()
	c, err := DialInsecure(t.Context(), l.Addr().String(), nil)
	must(t, err)
	must(t, c.User(t.Context(), "u"))
	must(t, c.Pass(t.Context(), "p"))
	must(t, c.Abort())
	must(t, <-done)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, l.Addr().String(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("dialling with a context that has ended gives %v", err)
	}
	l.Close()
	if _, err := Dial(t.Context(), l.Addr().String(), &Options{Timeout: -1}); err == nil {
		t.Error("dialling a closed port works")
	}
}

// late is a connection whose deadline for a read comes before that of the
// handshake.
type late struct{ net.Conn }

func (late) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// TestHandshakeLate: whichever time-out comes first, it is that of the
// handshake.
func TestHandshakeLate(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go io.Copy(io.Discard, b)
	_, err := handshake(t.Context(), late{a}, &tls.Config{ServerName: "mail.example.org"}, time.Minute)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the handshake took longer than 1m0s") {
		t.Errorf("the error is %v", err)
	}
}
