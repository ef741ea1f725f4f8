// Package certs holds the certificates of a server: several at once, read
// again when their files change, replaced in one step, or had from an ACME
// authority.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	expiryWarning = 14 * 24 * time.Hour // how long before its end a certificate is complained about
	lookEvery     = 10 * time.Second    // at the files
	warnEvery     = 24 * time.Hour
	maxFile       = 1 << 20
)

// Options say what certificates there are.
type Options struct {
	// Pairs are certificates and their keys. A client gets the one for the
	// name that it asks for, and the first where none fits. There must be
	// one at least.
	Pairs []Pair

	// ClientCA is a file with the authorities whose certificates clients may
	// log in with. Empty: clients are not asked for a certificate.
	ClientCA string

	// TicketKeys is a file with the keys of session tickets, which servers that
	// are one to their clients share. Empty: keys of this process, another one
	// each day.
	TicketKeys string

	// ACME has certificates from an authority. They go before Pairs, which
	// serve until they are there. Nil: none.
	ACME *ACME

	Logger *slog.Logger
}

// Pair is the files of a certificate, with its chain, and of its key, in PEM.
type Pair struct{ Certificate, Key string }

// Certificates are those of a server. Make them with New; they are used by
// many handshakes at once.
type Certificates struct {
	opts    Options
	log     *slog.Logger
	current atomic.Pointer[set]
	acme    *manager // nil: none
}

// set is what was read at one time.
type set struct {
	all     []loaded
	byName  map[string]*tls.Certificate // in lower case; of "*.example.org" the key begins with "*."
	clients *x509.CertPool              // nil: no certificate is asked of clients
	config  *tls.Config
}

type loaded struct {
	file string
	cert *tls.Certificate
}

// New reads the files.
func New(opts Options) (*Certificates, error) {
	if len(opts.Pairs) == 0 {
		return nil, errors.New("certs: no certificate")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Certificates{opts: opts, log: opts.Logger}
	if opts.ACME != nil {
		var err error
		if c.acme, err = newManager(*opts.ACME, opts.Logger); err != nil {
			return nil, err
		}
	}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Config gives the TLS configuration of the server. With a list of ALPN
// protocols, clients that offer others only are refused, and those without
// ALPN are not.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"pop3"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current.Load().config, nil
		},
		// For who looks whether there is one.
		GetCertificate: c.certificate,
	}
}

// certificate gives the one for the name that a client asks for.
func (c *Certificates) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := c.current.Load()
	if c.acme != nil {
		if cert := c.acme.certificate(hello.ServerName); cert != nil {
			return cert, nil
		}
	}
	if cert := s.named(hello.ServerName); cert != nil {
		return cert, nil
	}
	if c.acme != nil {
		if cert := c.acme.certificate(c.opts.ACME.Domains[0]); cert != nil {
			return cert, nil
		}
	}
	return s.all[0].cert, nil
}

// named finds the certificate for a name, nil where there is none.
func (s *set) named(name string) *tls.Certificate {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if cert := s.byName[name]; cert != nil {
		return cert
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		return s.byName["*."+parent]
	}
	return nil
}

// Reload reads all files again. With an error everything stays as it was:
// handshakes see all of the old files or all of the new ones.
func (c *Certificates) Reload() error {
	s := &set{byName: map[string]*tls.Certificate{}}
	for _, pair := range c.opts.Pairs {
		cert, err := load(pair)
		if err != nil {
			return fmt.Errorf("certificate %s with key %s: %w", pair.Certificate, pair.Key, err)
		}
		s.all = append(s.all, loaded{pair.Certificate, cert})
		names := cert.Leaf.DNSNames
		if len(names) == 0 {
			names = []string{cert.Leaf.Subject.CommonName}
		}
		for _, name := range names {
			if key := strings.ToLower(name); s.byName[key] == nil {
				s.byName[key] = cert
			}
		}
		if info, err := os.Stat(pair.Key); err == nil && info.Mode().Perm()&0o007 != 0 {
			c.log.Warn("the private key is open to every user of this machine: run chmod o=", "key", pair.Key)
		}
	}
	if c.opts.ClientCA != "" {
		data, err := read(c.opts.ClientCA)
		if err != nil {
			return fmt.Errorf("authorities of clients: %w", err)
		}
		s.clients = x509.NewCertPool()
		if !s.clients.AppendCertsFromPEM(data) {
			return fmt.Errorf("authorities of clients: %s holds no certificate in PEM", c.opts.ClientCA)
		}
	}
	s.config = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"pop3"},
		GetCertificate: c.certificate,

		DynamicRecordSizingDisabled: true, // it is for browsers, which show what came so far
	}
	if s.clients != nil {
		s.config.ClientAuth, s.config.ClientCAs = tls.VerifyClientCertIfGiven, s.clients
	}
	if err := c.useTicketKeys(s); err != nil {
		return err
	}
	c.current.Store(s)
	c.warn()
	return nil
}

func load(p Pair) (*tls.Certificate, error) {
	cert, err := read(p.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := read(p.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	return &pair, err
}

// read reads a regular file: a FIFO would be waited on for ever.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of at most %d octets", path, maxFile)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// Run looks after the certificates until ctx ends: it reads files that
// changed, has certificates from the authority in time, and warns of those
// that end soon.
func (c *Certificates) Run(ctx context.Context) {
	if c.acme != nil {
		c.acme.start(ctx)
		defer c.acme.stop()
	}
	look, warn := time.NewTicker(lookEvery), time.NewTicker(warnEvery)
	defer look.Stop()
	defer warn.Stop()
	seen := c.signature()
	for {
		select {
		case <-ctx.Done():
			return
		case <-warn.C:
			c.warn()
		case <-look.C:
			now := c.signature()
			if now == seen {
				continue
			}
			seen = now
			if err := c.Reload(); err != nil {
				c.log.Error("certificates changed and cannot be read: those in use stay", "error", err)
			} else {
				c.log.Info("certificates read again")
			}
		}
	}
}

// signature changes when one of the files does.
func (c *Certificates) signature() string {
	var b strings.Builder
	files := []string{c.opts.ClientCA, c.opts.TicketKeys}
	for _, p := range c.opts.Pairs {
		files = append(files, p.Certificate, p.Key)
	}
	for _, file := range files {
		if file == "" {
			continue
		}
		info, err := os.Stat(file)
		if err != nil {
			fmt.Fprintln(&b, filepath.Base(file), "missing")
			continue
		}
		var inode uint64
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = s.Ino
		}
		fmt.Fprintln(&b, inode, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}

// Expiry is when a certificate ends.
type Expiry struct {
	Name     string // its file, or the name that it is for
	NotAfter time.Time
}

// Expiries gives the ends of all certificates in use.
func (c *Certificates) Expiries() []Expiry {
	var all []Expiry
	for _, l := range c.current.Load().all {
		all = append(all, Expiry{l.file, l.cert.Leaf.NotAfter})
	}
	if c.acme != nil {
		all = append(all, c.acme.expiries()...)
	}
	return all
}

// warn complains of certificates that are near their end or past it.
func (c *Certificates) warn() {
	for _, e := range c.Expiries() {
		switch left := time.Until(e.NotAfter); {
		case left <= 0:
			c.log.Error("the certificate has expired: mail programs will refuse it", "certificate", e.Name, "expired", e.NotAfter)
		case left < expiryWarning:
			c.log.Warn("the certificate expires soon", "certificate", e.Name, "expires", e.NotAfter)
		}
	}
}
