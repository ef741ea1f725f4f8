package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// newPair writes a self-signed certificate for 127.0.0.1 and the name, and its
// key, as NAME.pem and NAME.key into dir, and gives the certificate.
func newPair(t *testing.T, dir, file, name string, end time.Duration) *x509.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(end),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der := sign(t, template, template, key, key)
	writePEM(t, filepath.Join(dir, file+".pem"), "CERTIFICATE", der)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, file+".key"), "PRIVATE KEY", pkcs8)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// shown is the name in the certificate that a client gets that asks for one.
func shown(addr, name string) (string, error) {
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true}) // whose it is matters here
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestCertificatesReplaced: files are renamed over, key first, and a symbolic
// link of Kubernetes' kind is turned, under handshakes of which none fails. A
// pair that does not fit leaves the old one in use and is logged.
func TestCertificatesReplaced(t *testing.T) {
	s := startPoplin(t, false)
	version := func(n int) string {
		dir := filepath.Join(s.dir, fmt.Sprintf("v%d", n))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		newPair(t, dir, "tls", fmt.Sprintf("linked%d.example", n), 1000*time.Hour)
		return dir
	}
	turn := func(to string) {
		if err := os.Symlink(to, filepath.Join(s.dir, "data_tmp")); err != nil {
			t.Fatal(err)
		}
		rename(t, filepath.Join(s.dir, "data_tmp"), filepath.Join(s.dir, "data"))
	}
	turn(version(1))
	newPair(t, s.dir, "one", "one.example", 1000*time.Hour)
	newPair(t, s.dir, "soon", "soon.example", 100*time.Hour)
	s.restartedWith(t, "", "", "[limits]\nknown_networks = [\"127.0.0.0/8\"]\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	list := func(kind, ending string) string {
		return fmt.Sprintf("%s = [\"%[2]s/one.%[3]s\", \"%[2]s/data/tls.%[3]s\", \"%[2]s/soon.%[3]s\"]", kind, s.dir, ending)
	}
	changed := strings.NewReplacer(
		fmt.Sprintf("certificate = \"%s/cert.pem\"", s.dir), list("certificate", "pem"),
		fmt.Sprintf("key = \"%s/key.pem\"", s.dir), list("key", "key")).Replace(string(text))
	if err := os.WriteFile(s.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	s.process.signal(15)
	s.process.wait(t)
	s.process = start(t, s.command())
	if !s.process.waitFor(t, s.plain, s.tls) {
		t.Fatal("the server does not start")
	}
	waitUntil(t, "the warning in the log of the one certificate that ends soon", func() bool {
		log := s.process.log.String() // its ports are open before
		return strings.Count(log, "the certificate expires soon") == 1 && strings.Contains(log, s.dir+"/soon.pem")
	})

	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				if _, err := shown(s.tls, []string{"one.example", "linked1.example", "soon.example", ""}[n%4]); err != nil {
					t.Errorf("a handshake fails: %v", err)
					return
				}
			}
		})
	}
	defer load.Wait()
	defer close(stop)
	is := func(name, want string) func() bool {
		return func() bool { got, err := shown(s.tls, name); return err == nil && got == want }
	}
	for _, name := range []string{"one.example", "linked1.example", "soon.example"} {
		if !is(name, name)() {
			t.Errorf("who asks for %s does not get it", name)
		}
	}
	if !is("elsewhere.example", "one.example")() {
		t.Error("who asks for another name does not get the first")
	}

	turn(version(2))
	newPair(t, s.dir, "two", "two.example", 1000*time.Hour)
	rename(t, filepath.Join(s.dir, "two.key"), filepath.Join(s.dir, "one.key"))
	waitUntil(t, "the reason why the pair is not taken in the log", func() bool {
		log := s.process.log.String()
		return strings.Contains(log, "those in use stay") && strings.Contains(log, s.dir+"/one.key: tls: private key does not match public key")
	})
	if !is("one.example", "one.example")() || !is("linked1.example", "linked1.example")() {
		t.Error("with a pair that does not fit, something else than the old certificates is served")
	}
	rename(t, filepath.Join(s.dir, "two.pem"), filepath.Join(s.dir, "one.pem"))
	waitUntil(t, "the new certificates in use", is("two.example", "two.example"))
	if !is("linked2.example", "linked2.example")() {
		t.Error("the certificate behind the link was not read again")
	}
}
