package collect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func template() *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
}

// issue makes a certificate; a nil authority makes one of itself.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) (tls.Certificate, *authority) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := template()
	change(cert)
	if a == nil {
		a = &authority{cert, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &authority{cert, key}
}

func newAuthority(t *testing.T) *authority {
	var none *authority
	_, a := none.issue(t, func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.IPAddresses, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = "authority", nil, nil, true, true, x509.KeyUsageCertSign
	})
	return a
}

// TestCertificates: a certificate that has expired, is of another host, of an
// unknown root, or has the name in its CN alone, by TLS from the first octet
// and by STLS -> no credential is sent.
func TestCertificates(t *testing.T) {
	trusted, unknown := newAuthority(t), newAuthority(t)
	for name, w := range map[string]struct {
		by     *authority
		change func(*x509.Certificate)
		config func(c *tls.Config)
		says   string
	}{
		"good":    {by: trusted},
		"expired": {by: trusted, change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, says: "expired"},
		"of tomorrow": {by: trusted, change: func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.Add(25*time.Hour), c.NotAfter.Add(25*time.Hour)
		}, says: "not yet valid"},
		"wrong host":   {by: trusted, change: func(c *x509.Certificate) { c.DNSNames = []string{"pop.example.org"} }, says: "not localhost"},
		"CN only":      {by: trusted, change: func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }, says: "Common Name"},
		"address only": {by: trusted, change: func(c *x509.Certificate) { c.DNSNames = nil }, says: "localhost"},
		"of a client":  {by: trusted, change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, says: "incompatible key usage"},
		"unknown root": {by: unknown, says: "unknown authority"},
		"self-signed":  {by: nil, says: "unknown authority"},
		"TLS 1.1":      {by: trusted, config: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, says: "protocol version"},
	} {
		for _, security := range []string{config.TLS, config.STLS} {
			t.Run(name+" "+security, func(t *testing.T) {
				e := newEvil(t, security, 2, nil)
				if w.change == nil {
					w.change = func(*x509.Certificate) {}
				}
				cert, _ := w.by.issue(t, w.change)
				e.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
				if w.config != nil {
					w.config(e.tls)
				}
				r := newReader(e, patience, "")
				r.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.cert.Raw})))
				result := r.run(fetch.Options{})
				if w.says == "" {
					if result.Err != nil || len(r.holds()) != 2 {
						t.Errorf("a good certificate: %v", result.Err)
					}
					return
				}
				if result.Err == nil || result.Temporary || !strings.Contains(result.Error, w.says) {
					t.Errorf("error %v, temporary %t", result.Err, result.Temporary)
				}
				if heard := e.hears(); heard != "" && heard != "STLS\r\n" {
					t.Errorf("the server heard %q", heard)
				}
				if len(r.holds()) != 0 {
					t.Error("mail came")
				}
			})
		}
	}
}

// TestPin: a pinned certificate is taken whoever signed it, and no other.
func TestPin(t *testing.T) {
	e := newEvil(t, config.TLS, 1, nil)
	r := newReader(e, patience, "tls_pin_sha256 = \""+strings.Repeat("ab", 32)+"\"\n")
	result := r.run(fetch.Options{})
	if result.Err == nil || result.Temporary || e.hears() != "" {
		t.Errorf("error %v, temporary %t, heard %q", result.Err, result.Temporary, e.hears())
	}
	_, pin, _ := strings.Cut(result.Error, "its SHA-256 is ")
	r.configure(patience, "tls_pin_sha256 = \""+pin+"\"\n")
	r.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newAuthority(t).cert.Raw})))
	if result := r.run(fetch.Options{}); result.Err != nil || len(r.holds()) != 1 {
		t.Errorf("error %v", result.Err)
	}
}
