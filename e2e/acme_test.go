package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// certified is the name that the ACME authority is asked for.
const certified = "pop.example.org"

// lifetime is that of the authority's certificates. They are renewed when a
// third of it is left.
const lifetime = 24 * time.Second

// acmeAuthority is Let's Encrypt's Pebble with a name server of its own.
type acmeAuthority struct {
	url   string
	ca    string // file with the certificate of its web server
	names *challtestsrv.ChallSrv
	roots *x509.CertPool // of what it issues
	http  string         // where it asks
}

// startAuthority starts an authority that asks at a port of the loopback.
func startAuthority(t *testing.T, dir string) *acmeAuthority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "5")
	a := &acmeAuthority{http: freeAddr(t), ca: filepath.Join(dir, "acme-ca.pem"), roots: x509.NewCertPool()}
	quiet, dns := log.New(io.Discard, "", 0), freeAddr(t)
	var err error
	a.names, err = challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{dns}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	a.names.SetDefaultDNSIPv6("")
	go a.names.Run()
	t.Cleanup(a.names.Shutdown)

	httpPort, err := strconv.Atoi(port(a.http))
	if err != nil {
		t.Fatal(err)
	}
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(lifetime / time.Second)}})
	front := wfe.New(quiet, store, va.New(quiet, httpPort, 1, true, dns, store), issuer, []string{"pebble.example.org"}, true, false, 0, 0)
	web := httptest.NewTLSServer(front.Handler())
	t.Cleanup(web.Close)
	web.Config.ErrorLog = quiet
	a.url = web.URL + wfe.DirectoryPath
	writePEM(t, a.ca, "CERTIFICATE", web.Certificate().Raw)
	if !a.roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM()) {
		t.Fatal("the authority has no root")
	}
	return a
}

// pointTo sets the address of the name.
func (a *acmeAuthority) pointTo(ip string) {
	a.names.DeleteDNSARecord(certified)
	a.names.AddDNSARecord(certified, []string{ip})
}

// restart stops the server and starts it with the authority's certificates.
func (a *acmeAuthority) restart(t *testing.T, s *poplinServer) {
	t.Helper()
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, false, plain, tls)
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, _ := strings.Cut(string(text), "[tls]\n")
		_, after, _ := strings.Cut(rest, "[maildrops]")
		acme := fmt.Sprintf("[acme]\ndomains = [%q]\nserver = %q\nserver_ca = %q\nhttp_listen = %q\nagree = true\n[maildrops]", certified, a.url, a.ca, a.http)
		if err := os.WriteFile(s.config, []byte(before+acme+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.command()
	})
}

// served gives the certificate that the server shows for the name.
func served(t *testing.T, addr string) []*x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: certified, InsecureSkipVerify: true}) // the tests look at it themselves
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates
}

// waitUntil waits for what a server does in its own time.
func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in %v: not %s", patience, what)
		}
	}
}

// TestACME: a server gets a certificate from Pebble by HTTP-01 and renews it.
// An order that fails leaves what was served before, and the log says why.
func TestACME(t *testing.T) {
	s := startPoplin(t, false)
	authority := startAuthority(t, s.dir)
	issued := func() (serial string) {
		chain := served(t, s.tls)
		between := x509.NewCertPool()
		for _, c := range chain[1:] {
			between.AddCert(c)
		}
		// A renewed one may be looked at late.
		_, err := chain[0].Verify(x509.VerifyOptions{DNSName: certified, Roots: authority.roots, Intermediates: between, CurrentTime: chain[0].NotBefore})
		if err != nil {
			return ""
		}
		return chain[0].SerialNumber.String()
	}
	refused := func() bool {
		text := s.process.log.String()
		return strings.Contains(text, "level=ERROR") && strings.Contains(text, "ACME: ") && strings.Contains(text, certified) &&
			strings.Contains(text, "urn:ietf:params:acme:error:connection")
	}

	authority.pointTo("127.0.0.99") // where nobody listens
	authority.restart(t, &s)
	waitUntil(t, "the reason of a failed order in the log", refused)
	if issued() != "" {
		t.Error("a certificate was issued for a name that points elsewhere")
	}
	if leaf := served(t, s.tls)[0]; leaf.Issuer.String() != leaf.Subject.String() {
		t.Errorf("without a certificate of the authority, one of %s is served, want the self-signed one", leaf.Issuer)
	}

	authority.pointTo("127.0.0.1")
	authority.restart(t, &s)
	var first string
	waitUntil(t, "a certificate of the authority", func() bool { first = issued(); return first != "" })
	if resp, err := http.Get("http://" + authority.http + "/"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("the port of the authority's question answers %v, %v", resp, err)
	}

	time.Sleep(time.Until(served(t, s.tls)[0].NotAfter.Add(-lifetime / 4))) // it is due
	authority.pointTo("127.0.0.99")
	authority.restart(t, &s)
	waitUntil(t, "the reason of a failed renewal in the log", refused)
	if got := issued(); got != first {
		t.Errorf("after a renewal that failed, %s is served, want the old certificate %s", got, first)
	}

	authority.pointTo("127.0.0.1")
	authority.restart(t, &s)
	waitUntil(t, "a renewed certificate", func() bool { got := issued(); return got != "" && got != first })
}
