package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"
)

// The account that the servers of the tests know.
const (
	TestUser     = "mrose"
	TestPassword = "tan staaf"
)

// TestMail has what goes wrong in messages: dots, bare LF, a lone CR, no last
// line end, no body, no blank line, no header, 8-bit octets.
var TestMail = []string{
	"Subject: plain\r\nFrom: a@example.org\r\n\r\nfirst\r\nsecond\r\nthird\r\n",
	".dot: at octet 0\r\n\r\n.\r\n..\r\n.dot\r\n\r\nend\r\n",
	"Subject: LF\n\n.one\n\ntwo\nthree",
	"Subject: no body\r\n\r\n",
	"Subject: no blank line\r\nX: y\r\n",
	"\r\nno header\r\nat all\r\n",
	"Subject: 8-bit\r\n\r\n\xe4\x00\xff and a lone \r in it\r\n",
}

// SelfSigned gives a configuration for a server on loopback, and one that
// trusts it.
func SelfSigned(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"pop3"}},
		&tls.Config{RootCAs: roots, ServerName: "localhost"}
}
