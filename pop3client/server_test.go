package pop3client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

// directory knows mrose, whose password is "secret" and whose token "token".
type directory struct{}

func (directory) account(good bool) (pop3server.Account, error) {
	if !good {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: "mrose", Maildrop: "mrose"}, nil
}

func (d directory) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	return d.account(l.Username == "mrose" && l.Password == "secret")
}

func (d directory) SCRAM(_ context.Context, l pop3server.Login, hash sasl.Hash) (sasl.Keys, pop3server.Account, error) {
	keys, err := sasl.DeriveKeys(hash, "secret", []byte("salt"), sasl.MinIterations)
	if err != nil {
		return keys, pop3server.Account{}, err
	}
	account, err := d.account(l.Username == "mrose")
	return keys, account, err
}

func (d directory) Token(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if l.Password != "token" {
		return pop3server.Account{}, errors.Join(pop3server.ErrBadCredentials, &sasl.BearerError{Status: "invalid_token", Scope: "pop"})
	}
	return d.account(l.Username == "mrose")
}

func (d directory) Certificate(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	return d.account(l.TLS.VerifiedChains[0][0].Subject.CommonName == "mrose")
}

// realServer is Poplin's own server over TLS. It gives a function that dials
// it with a client's TLS configuration, which knows the server's root.
func realServer(t *testing.T, a *authority, trace *strings.Builder) func(change func(*tls.Config), pins ...string) *Client {
	t.Helper()
	store := memory.New()
	store.Create("mrose")
	server, err := pop3server.New(store, directory{}, pop3server.Options{TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, nil)},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: a.roots,
	}})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return func(change func(*tls.Config), pins ...string) *Client {
		t.Helper()
		trace.Reset()
		config := &tls.Config{RootCAs: a.roots, ServerName: "mail.example.org"}
		if change != nil {
			change(config)
		}
		c, err := Dial(t.Context(), l.Addr().String(), &Options{TLSConfig: config, Timeout: 10 * time.Second, Trace: trace, Mechanisms: pins})
		must(t, err)
		t.Cleanup(func() { c.Abort() })
		return c
	}
}

// Every way in, with Poplin's own server at the other end.
func TestLoginAtServer(t *testing.T) {
	a := newAuthority(t)
	var trace strings.Builder
	dial := realServer(t, a, &trace)
	used := func(c *Client, mechanism string) {
		t.Helper()
		if !strings.Contains(trace.String(), "C: AUTH "+mechanism+" ") || strings.Count(trace.String(), "C: AUTH ") != 1 {
			t.Errorf("want one login, by %s: %s", mechanism, trace.String())
		}
		_, err := c.Stat(t.Context())
		must(t, err)
		must(t, c.Quit(t.Context()))
	}
	for mechanism, pins := range map[string][]string{
		"SCRAM-SHA-256-PLUS": nil,
		"SCRAM-SHA-256":      {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"},
		"SCRAM-SHA-1-PLUS":   {"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"},
		"PLAIN":              {"PLAIN"},
	} {
		c := dial(nil, pins...)
		must(t, c.Login(t.Context(), "mrose", "secret"))
		used(c, mechanism)
	}
	tls12 := func(config *tls.Config) { config.MaxVersion = tls.VersionTLS12 }
	c := dial(tls12)
	must(t, c.Login(t.Context(), "mrose", "secret"))
	used(c, "SCRAM-SHA-256-PLUS")

	c = dial(nil)
	must(t, c.LoginToken(t.Context(), "mrose", "token"))
	used(c, "OAUTHBEARER")
	c = dial(nil, "XOAUTH2")
	must(t, c.LoginToken(t.Context(), "mrose", "token"))
	used(c, "XOAUTH2")
	c = dial(nil)
	err := c.LoginToken(t.Context(), "mrose", "stale")
	var reason *sasl.BearerError
	if !errors.As(err, &reason) || reason.Status != "invalid_token" || reason.Scope != "pop" {
		t.Errorf("stale token: %v, want the server's BearerError", err)
	}

	c = dial(func(config *tls.Config) {
		config.Certificates = []tls.Certificate{a.issue(t, func(cert *x509.Certificate) {
			cert.Subject = pkix.Name{CommonName: "mrose"}
			cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})}
	})
	must(t, c.LoginExternal(t.Context(), ""))
	used(c, "EXTERNAL")
	c = dial(nil)
	if err := c.LoginExternal(t.Context(), ""); !errors.Is(err, ErrNoLogin) {
		t.Errorf("EXTERNAL without a certificate: %v, want ErrNoLogin", err)
	}
}

// RFC 5802 section 6: where somebody in between hides -PLUS, the server hears
// from the client that it could have bound the exchange, and refuses. Nothing
// weaker follows.
func TestPlusIsHidden(t *testing.T) {
	var trace strings.Builder
	c := realServer(t, newAuthority(t), &trace)(nil)
	caps, err := c.Capa(t.Context())
	must(t, err)
	for i := range caps {
		if caps[i].Name == pop3.CapSASL {
			caps[i].Args = slices.DeleteFunc(caps[i].Args, func(name string) bool { return strings.HasSuffix(name, "-PLUS") })
		}
	}
	if err := c.Login(t.Context(), "mrose", "secret"); !isRefusal(err) {
		t.Errorf("error %v, want a refusal", err)
	}
	if sent := trace.String(); !strings.Contains(sent, "C: AUTH SCRAM-SHA-256 ") || strings.Count(sent, "C: AUTH") != 1 || strings.Contains(sent, "C: USER") {
		t.Errorf("want one try, by SCRAM-SHA-256: %s", sent)
	}
}
