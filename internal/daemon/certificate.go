package daemon

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/poplin-mail/poplin/internal/certs"
	"github.com/poplin-mail/poplin/internal/config"
)

// newCertificates opens the configured certificates, or makes one. ListenACME
// gives the listener for acme.http_listen once it is bound.
func newCertificates(cfg *config.Config, listenACME func() net.Listener, logger *slog.Logger) (*certs.Certificates, error) {
	opts := certs.Options{ClientCA: cfg.TLS.ClientCA, TicketKeys: cfg.TLS.TicketKeys, Logger: logger}
	for i, file := range cfg.TLS.Certificate {
		opts.Pairs = append(opts.Pairs, certs.Pair{Certificate: file, Key: cfg.TLS.Key[i]})
	}
	if len(opts.Pairs) == 0 {
		made, err := SelfSigned(cfg.State, cfg.Hostname)
		if err != nil {
			return nil, fmt.Errorf("making a self-signed certificate below %s (state): %w; set tls.certificate and tls.key to use your own", cfg.State, err)
		}
		opts.Pairs = []certs.Pair{{Certificate: made.Certificate, Key: made.Key}}
		if len(cfg.ACME.Domains) == 0 {
			logger.Warn("the certificate is self-signed: mail programs will warn of it; set tls.certificate and tls.key", "certificate", made.Certificate, "new", made.New)
		}
	}
	if a := cfg.ACME; len(a.Domains) > 0 {
		opts.ACME = &certs.ACME{Domains: a.Domains, Email: a.Email, Server: a.Server, ServerCA: a.ServerCA,
			Agree: a.Agree, Storage: cfg.State, Listener: listenACME}
	}
	return certs.New(opts)
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
