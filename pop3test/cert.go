package pop3test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// certificates makes the TLS configurations of a server and of the clients
// that trust it and nobody else, once in a process.
var certificates = sync.OnceValues(func() (server, client *tls.Config) {
	server, client, err := makeCertificate()
	if err != nil {
		panic(fmt.Sprintf("pop3test: cannot make a certificate: %v", err))
	}
	return server, client
})

func makeCertificate() (server, client *tls.Config, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "pop3test"},
		DNSNames:     []string{"localhost", "pop.example"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		// Wide enough for the clock of a testing/synctest bubble, which
		// stands at the year 2000.
		NotBefore:             time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}}
	return server, &tls.Config{RootCAs: roots, ServerName: "localhost"}, nil
}

// TLSConfigs gives the configurations of a server with a certificate for
// "localhost", "pop.example" and the loopback addresses, and of a client that
// trusts it. The certificate is the same throughout a process.
func TLSConfigs() (server, client *tls.Config) {
	server, client = certificates()
	return server.Clone(), client.Clone()
}
