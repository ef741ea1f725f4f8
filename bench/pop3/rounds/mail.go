package rounds

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// accounts makes the users and their maildrops.
func (s *running) accounts() error {
	if err := errors.Join(os.Mkdir(s.dir, 0o755), os.Mkdir(filepath.Join(s.dir, "mail"), 0o755), os.Chown(s.dir, nobody, nogroup)); err != nil {
		return err
	}
	var list strings.Builder
	for group, g := range groups {
		for i := range g.users {
			home := s.maildrop(group, i)
			fmt.Fprintf(&list, "%s:{PLAIN}%s:%d:%d::%s::\n", userName(group, i), password, nobody, nogroup, home)
			if err := os.Mkdir(home, 0o700); err != nil {
				return err
			}
			for _, sub := range []string{"new", "cur", "tmp"} {
				if err := errors.Join(os.Mkdir(filepath.Join(home, sub), 0o700), os.Chown(filepath.Join(home, sub), nobody, nogroup)); err != nil {
					return err
				}
			}
			if err := os.Chown(home, nobody, nogroup); err != nil {
				return err
			}
		}
		if err := s.fill(group); err != nil {
			return err
		}
	}
	file := filepath.Join(s.dir, "users")
	return errors.Join(os.WriteFile(file, []byte(list.String()), 0o600), os.Chown(file, nobody, nogroup))
}

func (s *running) maildrop(group string, i int) string {
	return filepath.Join(s.dir, "mail", userName(group, i))
}

// maxLinks is how many names a file gets; ext4 allows 65,000.
const maxLinks = 50_000

// message makes a message of which others are links.
func (s *running) message(name string, octets int) error {
	var b bytes.Buffer
	b.WriteString("From: <sender@example.org>\nTo: <user@example.org>\nSubject: a message to measure by\nMessage-ID: <1@example.org>\n\n")
	for b.Len() < octets {
		b.WriteString("A line of sixty-odd octets, of which this message has many.\n")
	}
	b.Truncate(octets - 1)
	b.WriteByte('\n')
	return errors.Join(os.WriteFile(name, b.Bytes(), 0o600), os.Chown(name, nobody, nogroup))
}

// fill brings mail into the maildrops of a group, under names of its own as an
// MTA does.
func (s *running) fill(group string) error {
	stamp, g := time.Now(), groups[group]
	message := filepath.Join(s.dir, "message")
	defer os.Remove(message)
	for i := range g.users {
		for n := range g.messages {
			if n%maxLinks == 0 {
				if err := errors.Join(os.RemoveAll(message), s.message(message, g.octets)); err != nil {
					return err
				}
			}
			name := fmt.Sprintf("%d.M%dP%d_%d.bench", stamp.Unix(), stamp.Nanosecond()/1000, os.Getpid(), n)
			if err := os.Link(message, filepath.Join(s.maildrop(group, i), "new", name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// certificate makes one for all servers, and what trusts it.
func certificate(dir string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"bench.example.org"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	files := errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o644),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
		os.Chown(filepath.Join(dir, "key.pem"), nobody, nogroup))
	trust := &tls.Config{RootCAs: x509.NewCertPool()}
	trust.RootCAs.AppendCertsFromPEM(cert)
	return trust, files
}
