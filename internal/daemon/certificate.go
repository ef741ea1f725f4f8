package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
)

// expiryWarning is how long before its end a certificate is complained about.
const expiryWarning = 14 * 24 * time.Hour

// certificates holds the certificate in use, which reload replaces in one
// step: handshakes see the old one or the new one.
type certificates struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
}

// newCertificates reads the configured certificate, or makes one.
func newCertificates(cfg *config.Config, logger *slog.Logger) (*certificates, error) {
	c := &certificates{log: logger}
	if len(cfg.TLS.Certificate) > 0 {
		c.certFile, c.keyFile = cfg.TLS.Certificate[0], cfg.TLS.Key[0]
	}
	if c.certFile == "" {
		made, err := SelfSigned(cfg.State, cfg.Hostname)
		if err != nil {
			return nil, fmt.Errorf("making a self-signed certificate below %s (state): %w; set tls.certificate and tls.key to use your own", cfg.State, err)
		}
		c.certFile, c.keyFile = made.Certificate, made.Key
		logger.Warn("the certificate is self-signed: mail programs will warn of it; set tls.certificate and tls.key", "certificate", made.Certificate, "new", made.New)
	}
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload reads the files. With an error the certificate in use stays.
func (c *certificates) reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	if info, err := os.Stat(c.keyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		c.log.Warn("the private key is open to every user of this machine: run chmod o=", "key", c.keyFile)
	}
	c.warn(pair.Leaf)
	c.current.Store(&pair)
	return nil
}

// warn complains of a certificate that is near its end or past it.
func (c *certificates) warn(leaf *x509.Certificate) {
	switch left := time.Until(leaf.NotAfter); {
	case left <= 0:
		c.log.Error("the certificate has expired: mail programs will refuse it", "certificate", c.certFile, "expired", leaf.NotAfter)
	case left < expiryWarning:
		c.log.Warn("the certificate expires soon", "certificate", c.certFile, "expires", leaf.NotAfter)
	}
}

// config gives the TLS configuration of the server. With a list of ALPN
// protocols, clients that offer others only are refused, and those without
// ALPN are not.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"pop3"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}

// Pair is where a self-signed certificate and its key are.
type Pair struct {
	Certificate string
	Key         string
	New         bool // it was made by this call
}

func pairBelow(state string) Pair {
	return Pair{Certificate: filepath.Join(state, "self-signed.pem"), Key: filepath.Join(state, "self-signed.key")}
}
