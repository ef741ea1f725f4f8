package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pair writes a certificate for the names, which ends at that time.
func pair(t *testing.T, dir, file string, end time.Time, names ...string) Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: end.Add(-1000 * time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{filepath.Join(dir, file+".pem"), filepath.Join(dir, file+".key")}
	write(t, p.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return p
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// served gives the common name of the certificate that a client gets that
// asks for a name.
func served(t *testing.T, c *Certificates, name string) string {
	t.Helper()
	conn, _ := handshake(t, c, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	return conn.PeerCertificates[0].Subject.CommonName
}

// handshake gives what both sides see of a connection.
func handshake(t *testing.T, c *Certificates, config *tls.Config) (client, server tls.ConnectionState) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	done := make(chan error, 1)
	s := tls.Server(theirs, c.Config())
	go func() { done <- s.Handshake() }()
	conn := tls.Client(ours, config)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	go conn.Read(make([]byte, 1)) // session tickets
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState(), s.ConnectionState()
}

func TestNames(t *testing.T) {
	dir, end := t.TempDir(), time.Now().Add(1000*time.Hour)
	c, err := New(Options{Pairs: []Pair{
		pair(t, dir, "a", end, "first.example.org"),
		pair(t, dir, "b", end, "Pop.example.net", "mail.example.net"),
		pair(t, dir, "c", end, "*.example.com"),
		pair(t, dir, "d", end, "own.example.com"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"first.example.org": "first.example.org", "pop.example.net": "Pop.example.net", "MAIL.example.net": "Pop.example.net",
		"x.example.com": "*.example.com", "own.example.com": "own.example.com", "x.y.example.com": "first.example.org",
		"example.com": "first.example.org", "": "first.example.org", "elsewhere.example": "first.example.org",
	} {
		if got := served(t, c, name); got != want {
			t.Errorf("a client that asks for %q gets %s, want %s", name, got, want)
		}
	}
	if state, _ := handshake(t, c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"pop3"}, MaxVersion: tls.VersionTLS12}); state.NegotiatedProtocol != "pop3" || state.Version != tls.VersionTLS12 {
		t.Errorf("%+v", state)
	}
	if got := c.Expiries(); len(got) != 4 || got[2].Name != filepath.Join(dir, "c.pem") || !got[2].NotAfter.Equal(end.Truncate(time.Second)) {
		t.Errorf("expiries %v", got)
	}
}

func TestClientCertificates(t *testing.T) {
	dir, end := t.TempDir(), time.Now().Add(1000*time.Hour)
	own, stranger := pair(t, dir, "ca", end, "anna"), pair(t, dir, "stranger", end, "eve")
	c, err := New(Options{Pairs: []Pair{pair(t, dir, "a", end, "localhost")}, ClientCA: own.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	with := func(p Pair) *tls.Config {
		cert, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}
	}
	if _, s := handshake(t, c, with(own)); len(s.VerifiedChains) == 0 {
		t.Error("a certificate of the authority is not verified")
	}
	if _, s := handshake(t, c, &tls.Config{InsecureSkipVerify: true}); len(s.VerifiedChains) != 0 {
		t.Error("no certificate is verified")
	}
	// What the authority did not issue is not sent, since the server names
	// those it takes; forced, it ends the handshake.
	forced := with(stranger)
	forced.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &forced.Certificates[0], nil }
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		conn := tls.Client(ours, forced)
		conn.Handshake()
		conn.Read(make([]byte, 1))
	}()
	if err := tls.Server(theirs, c.Config()).Handshake(); err == nil {
		t.Error("a certificate of a stranger is taken")
	}
	write(t, own.Certificate, []byte("nothing"))
	if err := c.Reload(); err == nil || !strings.Contains(err.Error(), "authorities of clients") {
		t.Errorf("authorities that are none: %v", err)
	}
}

func TestReload(t *testing.T) {
	dir, end := t.TempDir(), time.Now().Add(1000*time.Hour)
	first, second := pair(t, dir, "a", end, "one.example"), pair(t, dir, "b", end, "two.example")
	c, err := New(Options{Pairs: []Pair{first, second}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(first.Key)
	if err != nil {
		t.Fatal(err)
	}
	breaks := map[string]func(){
		"another key": func() { pair(t, dir, "x", end, "x"); os.Rename(filepath.Join(dir, "x.key"), first.Key) },
		"cut short":   func() { write(t, first.Key, key[:40]) },
		"empty":       func() { write(t, first.Key, nil) },
		"missing":     func() { os.Remove(first.Key) },
		"a folder":    func() { os.Remove(first.Key); os.Mkdir(first.Key, 0o700) },
		"a FIFO":      func() { os.Remove(first.Key); syscall.Mkfifo(first.Key, 0o600) },
		"too large":   func() { os.Remove(first.Key); write(t, first.Key, make([]byte, maxFile+1)) },
	}
	for what, do := range breaks {
		pair(t, dir, "b", end, "changed.example") // which must not be taken either
		do()
		if err := c.Reload(); err == nil || !strings.Contains(err.Error(), first.Key) {
			t.Errorf("%s: %v", what, err)
		}
		if got := served(t, c, "one.example") + " " + served(t, c, "two.example"); got != "one.example two.example" {
			t.Errorf("%s: then %s is served", what, got)
		}
		os.RemoveAll(first.Key)
		write(t, first.Key, key)
	}
	if err := c.Reload(); err != nil || served(t, c, "changed.example") != "changed.example" || served(t, c, "two.example") != "one.example" {
		t.Errorf("mended: %v", err)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no certificate at all")
	}
	if _, err := New(Options{Pairs: []Pair{first}, ACME: &ACME{Domains: []string{"x"}}}); err == nil || !strings.Contains(err.Error(), "terms") {
		t.Errorf("terms that were not agreed to: %v", err)
	}
}

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// take gives what was logged since it was last asked.
func (s *safeBuffer) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

// TestRun: files that change are read without being asked, a fault is logged
// once, and so is each day before the end.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := pair(t, dir, "a", time.Now().Add(16*24*time.Hour), "one.example")
		var log safeBuffer
		c, err := New(Options{Pairs: []Pair{p}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		time.Sleep(65 * time.Second) // not when the files are looked at
		if got := log.take(); got != "" {
			t.Errorf("nothing changed: %s", got)
		}
		key, err := os.ReadFile(p.Key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, p.Key, []byte("half"))
		time.Sleep(time.Hour)
		if got := log.take(); strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, "those in use stay") {
			t.Errorf("a broken key: %s", got)
		}
		write(t, p.Key, key)
		time.Sleep(time.Minute)
		if got := log.take(); !strings.Contains(got, "read again") {
			t.Errorf("a mended key: %s", got)
		}
		time.Sleep(24 * time.Hour)
		if got := log.take(); got != "" {
			t.Errorf("15 days before the end: %s", got)
		}
		time.Sleep(3 * 24 * time.Hour)
		if got := log.take(); strings.Count(got, "expires soon") != 2 || !strings.Contains(got, p.Certificate) {
			t.Errorf("two days of the last fortnight: %s", got)
		}
		time.Sleep(12 * 24 * time.Hour)
		if got := log.take(); !strings.Contains(got, "has expired") {
			t.Errorf("after the end: %s", got)
		}
		os.Chmod(p.Key, 0o644)
		if err := c.Reload(); err != nil || !strings.Contains(log.take(), "open to every user") {
			t.Errorf("a key that all may read: %v", err)
		}
		cancel()
		<-done
	})
}

// TestSwapUnderLoad: no handshake fails while certificates are replaced.
func TestSwapUnderLoad(t *testing.T) {
	dir, end := t.TempDir(), time.Now().Add(1000*time.Hour)
	p := pair(t, dir, "a", end, "one.example")
	c, err := New(Options{Pairs: []Pair{p}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				served(t, c, "one.example")
			}
		})
	}
	for range 20 {
		next := pair(t, dir, "next", end, "one.example")
		os.Rename(next.Key, p.Key) // now the two do not fit
		if err := c.Reload(); err == nil {
			t.Error("a certificate with another's key is taken")
		}
		os.Rename(next.Certificate, p.Certificate)
		if err := c.Reload(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
