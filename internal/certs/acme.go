package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// ACME is how to have certificates from an authority (RFC 8555), which asks at
// port 80 of each domain whether this server is there (HTTP-01).
type ACME struct {
	Domains  []string
	Email    string
	Server   string // the authority's directory; empty: Let's Encrypt
	ServerCA string // file with the authorities that vouch for Server; empty: the machine's
	Agree    bool   // to the authority's terms of service
	Storage  string // the folder where keys and certificates are kept

	// Listener is where the authority's question is answered. It may be at
	// another port, to which port 80 is forwarded.
	Listener func() net.Listener
}

// manager has the certificates of ACME.
type manager struct {
	opts   ACME
	log    *slog.Logger
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
	web    *http.Server
	served chan struct{}
}

func newManager(opts ACME, logger *slog.Logger) (*manager, error) {
	if !opts.Agree {
		return nil, errors.New("certs: the authority's terms of service are not agreed to")
	}
	if opts.Server == "" {
		opts.Server = certmagic.LetsEncryptProductionCA
	}
	var roots *x509.CertPool
	if opts.ServerCA != "" {
		data, err := read(opts.ServerCA)
		if err != nil {
			return nil, fmt.Errorf("authorities of the ACME server: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("authorities of the ACME server: %s holds no certificate in PEM", opts.ServerCA)
		}
	}
	m := &manager{opts: opts, log: logger, served: make(chan struct{})}
	quiet := zap.New(slogCore{logger})
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.config, nil },
		Logger:           quiet,
	})
	m.config = certmagic.New(m.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: filepath.Join(opts.Storage, "acme")},
		Logger:  quiet,
	})
	m.issuer = certmagic.NewACMEIssuer(m.config, certmagic.ACMEIssuer{
		CA: opts.Server, Email: opts.Email, Agreed: true, TrustedRoots: roots,
		DisableTLSALPNChallenge: true, // it asks at port 443, where this server is not
		Logger:                  quiet,
	})
	m.config.Issuers = []certmagic.Issuer{m.issuer}
	return m, nil
}

// start answers the authority's questions, and has certificates that are
// missing or end soon, in the background.
func (m *manager) start(ctx context.Context) {
	l := m.opts.Listener()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	// The library would listen itself if nobody did there.
	m.issuer.ListenHost = host
	m.issuer.AltHTTPPort, _ = strconv.Atoi(port)
	m.web = &http.Server{
		Handler:           m.issuer.HTTPChallengeHandler(http.NotFoundHandler()),
		ReadTimeout:       10 * time.Second,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go func() {
		defer close(m.served)
		if err := m.web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("cannot answer the authority's questions for certificates", "error", err)
		}
	}()
	m.log.Info("certificates come from an authority", "domains", strings.Join(m.opts.Domains, " "), "server", m.opts.Server)
	if err := m.config.ManageAsync(ctx, m.opts.Domains); err != nil {
		m.log.Error("cannot have certificates", "error", err)
	}
}

func (m *manager) stop() {
	m.web.Close()
	<-m.served
	m.cache.Stop()
}

// certificate gives the one for a name, nil where there is none yet.
func (m *manager) certificate(name string) *tls.Certificate {
	for _, cert := range m.cache.AllMatchingCertificates(strings.ToLower(name)) {
		if !cert.Empty() {
			return &cert.Certificate
		}
	}
	return nil
}

func (m *manager) expiries() []Expiry {
	var all []Expiry
	for _, domain := range m.opts.Domains {
		for _, cert := range m.cache.AllMatchingCertificates(domain) {
			if cert.Leaf != nil {
				all = append(all, Expiry{domain, cert.Leaf.NotAfter})
			}
		}
	}
	return all
}
