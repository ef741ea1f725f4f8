package daemon

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
	"os"
	"path/filepath"
	"time"
)

const (
	selfSignedLife  = 825 * 24 * time.Hour // the most that Apple's mail programs accept
	selfSignedRenew = 30 * 24 * time.Hour  // a new one is made this long before the end
)

// SelfSigned gives a self-signed certificate in the folder state, which is
// made if it is missing. One that is there stays, so that programs that were
// told to trust it go on doing so, until a month before it expires, or where
// it is not for hostname.
func SelfSigned(state, hostname string) (Pair, error) {
	if hostname == "" {
		hostname, _ = os.Hostname() // without one, the loopback names remain
	}
	p := pairBelow(state)
	if usable(p, hostname) {
		return p, nil
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return Pair{}, err
	}
	cert, key, err := makePair(hostname)
	if err != nil {
		return Pair{}, err
	}
	// A crash in between leaves a pair that does not match: it is made anew.
	if err := writeFile(p.Key, key, 0o600); err != nil {
		return Pair{}, err
	}
	if err := writeFile(p.Certificate, cert, 0o644); err != nil {
		return Pair{}, err
	}
	p.New = true
	return p, nil
}

func usable(p Pair, hostname string) bool {
	pair, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil || time.Until(pair.Leaf.NotAfter) < selfSignedRenew {
		return false
	}
	return hostname == "" || pair.Leaf.VerifyHostname(hostname) == nil
}

// makePair makes a key on P-256 and a certificate for the names of this
// machine. It is no certificate authority: whoever trusts it trusts this
// server and nothing else.
func makePair(hostname string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Poplin, self-signed"},
		NotBefore:             now.Add(-time.Hour), // clocks differ
		NotAfter:              now.Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(hostname); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if hostname != "" && hostname != "localhost" {
		template.DNSNames = append(template.DNSNames, hostname)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// writeFile puts a file in place in one step, with its mode from the start.
func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails where the rename went well
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
