package diagnose

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"
)

// authority signs certificates, changed as each test needs.
type authority struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	roots *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, roots: x509.NewCertPool()}
	a.cert = a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root\x1b"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, nil)
	a.roots.AddCert(a.cert)
	return a
}

// sign signs by the authority, or by the certificate itself where parent is nil.
func (a *authority) sign(t *testing.T, template, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes the configuration of a server, with what change makes of its
// certificate.
func (a *authority) issue(t *testing.T, change func(cert *x509.Certificate)) *tls.Config {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "mail.example.org"},
		DNSNames: []string{"mail.example.org"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	parent := a.cert
	if change != nil {
		change(template)
	}
	if template.Subject.CommonName == "itself" {
		parent = nil
	}
	cert := a.sign(t, template, parent)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: a.key}}}
}

// overTLS and overSTLS are sessions of a server with that configuration.
func overTLS(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		secured := tls.Server(conn, config)
		says("+OK ready\r\n", map[string]string{"CAPA": "+OK\r\nUSER\r\n."})(secured)
	}
}

func overSTLS(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		fmt.Fprint(conn, "+OK ready\r\n")
		in := bufio.NewReader(conn)
		for {
			switch line, err := in.ReadString('\n'); {
			case err != nil:
				return
			case line == "CAPA\r\n":
				fmt.Fprint(conn, "+OK\r\nSTLS\r\n.\r\n")
			case line == "STLS\r\n":
				fmt.Fprint(conn, "+OK\r\n")
				says("", map[string]string{"CAPA": "+OK\r\nUSER\r\n."})(tls.Server(conn, config))
				return
			}
		}
	}
}

// What is wrong with a certificate is told, with TLS and with STLS.
func TestCertificate(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	itself := a.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "itself" })
	cert, err := x509.ParseCertificate(itself.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		server *tls.Config
		change func(*tls.Config)
		want   string
	}{
		"expired": {a.issue(t, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 2, 3, 4, 5, 0, 0, time.UTC)
		}), nil, "TLS: the certificate ended on 2021-02-03 04:05 UTC"},
		"not yet": {a.issue(t, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2091, 1, 1, 0, 0, 0, 0, time.UTC)
		}), nil, "TLS: good from 2090-01-01 00:00 UTC on only"},
		"wrong host": {a.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"a.example", "b.example"} }), nil,
			"TLS: the certificate is not for mail.example.org: it is for a.example, b.example, by Root?"},
		"common name alone": {a.issue(t, func(c *x509.Certificate) { c.DNSNames = nil }), nil, "TLS: as its common name alone, which counts no more"},
		"many names": {a.issue(t, func(c *x509.Certificate) {
			c.DNSNames = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
		}), nil, "TLS: for a, b, c, d, e, f, g, h and 2 more"},
		"unknown authority": {other.issue(t, nil), nil, "TLS: an authority that this machine does not know"},
		"signed by itself": {itself, nil,
			fmt.Sprintf(`TLS: signed by itself: it is for mail.example.org, by itself, good until %s, SHA-256 %[2]s -> where its operator confirms that SHA-256, set tls_pin_sha256 = "%[2]s"`, day(cert.NotAfter), Pin(cert))},
		"another pin": {a.issue(t, nil), func(c *tls.Config) {
			c.InsecureSkipVerify = true
			c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("not pinned\x1b") }
		}, "TLS: not the one that the account wants: not pinned?; it is for mail.example.org"},
		"another pin, checked otherwise": {a.issue(t, nil), func(c *tls.Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errors.New("not pinned") }
		}, "TLS: not the one that the account wants: not pinned"},
	} {
		client := &tls.Config{RootCAs: a.roots}
		if test.change != nil {
			test.change(client)
		}
		for security, session := range map[Security]func(*tls.Config) func(net.Conn){TLS: overTLS, STLS: overSTLS} {
			port := serve(t, session(test.server))
			steps := Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: security, TLSConfig: client, Resolver: local}, password)
			check(t, name+" by "+string(security), steps, test.want)
		}
	}
}

// A certificate that ends soon works, and is worth a word.
func TestCertificateEndsSoon(t *testing.T) {
	a := newAuthority(t)
	port := serve(t, overTLS(a.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(5*24*time.Hour + time.Hour) })))
	steps := Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: TLS, TLSConfig: &tls.Config{RootCAs: a.roots}, Resolver: local}, nil)
	if s := steps[2]; !s.OK || s.Name != Handshake || s.Advice != "the certificate ends in 5 days: its operator must renew it" {
		t.Errorf("%s", show(steps))
	}
}

// Whatever else may go wrong with TLS from the first octet.
func TestHandshake(t *testing.T) {
	a := newAuthority(t)
	with := func(change func(*tls.Config)) func(net.Conn) {
		config := a.issue(t, nil)
		change(config)
		return overTLS(config)
	}
	for name, test := range map[string]struct {
		session func(net.Conn)
		want    string
	}{
		"POP3 in clear":    {says("+OK ready\r\n", nil), `TLS: POP3 in clear text on this port -> set security = "stls"`},
		"IMAP in clear":    {says("* OK ready\r\n", nil), "TLS: an IMAP server"},
		"SMTP in clear":    {says("220 mx ESMTP\r\n", nil), "TLS: an SMTP server"},
		"HTTP":             {says("HTTP/1.1 400 Bad Request\r\n", nil), "TLS: a web server"},
		"something else":   {says("hello hello hello\r\n", nil), `TLS: it says "hello"`},
		"closed":           {func(net.Conn) {}, "TLS: closed the connection in the handshake"},
		"silence":          {silent, "TLS: does not answer the handshake"},
		"TLS 1.1":          {with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), "TLS: nothing newer than TLS 1.1"},
		"another protocol": {with(func(c *tls.Config) { c.NextProtos = []string{"h2"} }), "TLS: knows no POP3 behind this TLS"},
		"unknown name":     {with(func(c *tls.Config) { c.Certificates = nil; c.GetCertificate = noCertificate }), "TLS: does not know the name"},
		"no cipher": {with(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
		}), "TLS: no cipher in common"},
		"no certificate":    {with(func(c *tls.Config) { c.Certificates = nil }), "TLS: "},
		"wants one of ours": {with(func(c *tls.Config) { c.MaxVersion, c.ClientAuth = tls.VersionTLS12, tls.RequireAnyClientCert }), "TLS: or the server wants a certificate of yours"},
		"wants it later":    {with(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), "greeting: the server wants a certificate of yours"},
	} {
		var limit time.Duration
		if name == "silence" {
			limit = short
		}
		port := serve(t, test.session)
		steps := Explain(t.Context(), Target{
			Host: "mail.example.org", Port: port, Security: TLS, TLSConfig: &tls.Config{RootCAs: a.roots}, Resolver: local, Timeout: limit,
		}, password)
		check(t, name, steps, test.want)
	}
}

func noCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }

// Nothing goes in clear text where STLS fails.
func TestSTLS(t *testing.T) {
	for name, test := range map[string]struct {
		capa, stls, want string
	}{
		"not offered":         {"+OK\r\nUSER\r\n.", "-ERR what?", `TLS: does not offer STLS, and refuses it: "what?" -> set security = "tls"`},
		"offered and refused": {"+OK\r\nSTLS\r\n.", "-ERR TLS not available", "TLS: offers STLS, and refuses it"},
		"clear text behind":   {"+OK\r\nSTLS\r\n.", "+OK\r\n+OK injected", "TLS: tampers with the connection -> use another network"},
		"no TLS behind":       {"+OK\r\nSTLS\r\n.", "+OK", "TLS: "},
		"closed":              {"+OK\r\nSTLS\r\n.", "close", "TLS: closed the connection in the handshake"},
	} {
		limit := 2 * time.Second // in which the server may wait for the rest of a handshake that it takes for a line
		port := serve(t, says("+OK ready\r\n", map[string]string{"CAPA": test.capa, "STLS": test.stls}))
		steps := Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: STLS, Resolver: local, Timeout: limit}, password)
		check(t, name, steps, test.want)
	}
}
