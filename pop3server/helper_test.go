package pop3server_test

import (
	"bufio"
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
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// users is an Authenticator over a map of passwords.
type users map[string]string

func (u users) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if password, ok := u[l.Username]; !ok || password != l.Password {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: l.Username, Maildrop: l.Username}, nil
}

func (u users) APOP(_ context.Context, l pop3server.Login, timestamp, digest string) (pop3server.Account, error) {
	if password, ok := u[l.Username]; !ok || !pop3.CheckAPOP(timestamp, password, digest) {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: l.Username, Maildrop: l.Username}, nil
}

var somebody = users{"mrose": "secret", "other": "secret"}

// store makes a memory store in which mrose has the messages given.
func store(t testing.TB, messages ...string) *memory.Store {
	t.Helper()
	s := memory.New()
	s.Create("mrose")
	s.Create("other")
	for _, m := range messages {
		if _, err := s.Deliver(context.Background(), "mrose", strings.NewReader(m)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// left lists what mrose has, one string a message.
func left(t testing.TB, s maildrop.Store) []string {
	t.Helper()
	d, err := s.Open(context.Background(), "mrose")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var all []string
	for i := range d.Messages() {
		r, err := d.Open(context.Background(), i)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r)
		r.Close()
		all = append(all, string(b))
	}
	return all
}

var clear = pop3server.Options{InsecureAuth: true}

// serve starts a server and gives its address; it is closed after the test,
// which fails if a session panicked unless the test says how many do.
func serve(t testing.TB, s maildrop.Store, auth pop3server.Authenticator, opts pop3server.Options) (*pop3server.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, s, auth, opts), l.Addr().String()
}

func serveOn(t testing.TB, l net.Listener, s maildrop.Store, auth pop3server.Authenticator, opts pop3server.Options) *pop3server.Server {
	t.Helper()
	srv, err := pop3server.New(s, auth, opts)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, pop3server.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return srv
}

// peer is a client that sends and expects octets.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	p := dialRaw(t, addr)
	p.want("+OK")
	return p
}

// login is dial and a login as mrose.
func login(t testing.TB, addr string) *peer {
	t.Helper()
	p := dial(t, addr)
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
	return p
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, s); err != nil {
		p.t.Fatalf("sending %.60q: %v", s, err)
	}
}

// want reads a line and checks how it begins.
func (p *peer) want(prefix string) string {
	p.t.Helper()
	line, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatalf("want %q: got %q, %v", prefix, line, err)
	}
	if !strings.HasPrefix(line, prefix) || !strings.HasSuffix(line, "\r\n") {
		p.t.Fatalf("want %q: got %q", prefix, line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (p *peer) do(command, prefix string) string {
	p.t.Helper()
	p.send(command + "\r\n")
	return p.want(prefix)
}

// lines reads a multi-line reply after its first line.
func (p *peer) lines() []string {
	p.t.Helper()
	var all []string
	for {
		line := p.want("")
		if line == "." {
			return all
		}
		all = append(all, strings.TrimPrefix(line, "."))
	}
}

// closed checks that nothing more comes.
func (p *peer) closed() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.r); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("want the connection closed: got %.200q, %v", rest, err)
	}
}

// certificate makes a server's TLS configuration and a client's that trusts it.
var certificate = sync.OnceValues(func() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: pool, ServerName: "localhost"}
})

// overTLS puts TLS over the connection.
func (p *peer) overTLS() *peer {
	p.t.Helper()
	_, config := certificate()
	conn := tls.Client(p.Conn, config)
	if err := conn.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	return &peer{t: p.t, Conn: conn, r: bufio.NewReader(conn)}
}

// dialRaw is dial without reading the greeting.
func dialRaw(t testing.TB, addr string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t: t, Conn: conn, r: bufio.NewReader(conn)}
}
