// Package oauthusers takes the bearer tokens of an OAuth 2.0 authorization
// server: signed ones (JWT, RFC 9068), checked here with the server's keys,
// and others by asking the server about them (RFC 7662).
package oauthusers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

const (
	timeout  = 10 * time.Second // of a request
	maxReply = 1 << 20          // octets of one
	keysFor  = time.Hour        // until keys are fetched anew: the issuer may have withdrawn one
)

// algorithms are those of public keys. With those of shared secrets whoever
// checks a token can make one, and "none" is none.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// Options say whose tokens are taken, and what they must hold.
type Options struct {
	Issuer    string   // who must have issued a token; its keys are found by discovery
	Audience  string   // whom it must be made for
	Scopes    []string // that it must have, all of them
	UserClaim string   // that holds the user's name; empty: "email"

	JWKSURL          string // where the keys are, for issuers without discovery
	IntrospectionURL string // where to ask about tokens that are not signed; empty: there are none

	ClientID, ClientSecret string // as whom to ask

	CA     []byte // authorities that vouch for these servers, PEM; nil: the machine's
	Logger *slog.Logger
}

// Source is a directory.TokenSource.
type Source struct {
	opts   Options
	client *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil until discovery succeeds
	since    time.Time             // when it did
}

// New checks the options. A server that cannot be reached is no error: it may
// come later.
func New(opts Options) (*Source, error) {
	if opts.UserClaim == "" {
		opts.UserClaim = "email"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Audience == "" {
		return nil, errors.New("no audience: tokens made for other services would be taken")
	}
	if opts.Issuer == "" && (opts.IntrospectionURL == "" || opts.JWKSURL != "") {
		return nil, errors.New("no issuer: whose tokens are to be taken?")
	}
	for _, text := range []string{opts.Issuer, opts.JWKSURL, opts.IntrospectionURL} {
		if err := checkURL(text); err != nil {
			return nil, err
		}
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: timeout,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     90 * time.Second,
	}
	if opts.CA != nil {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(opts.CA) {
			return nil, errors.New("the file of authorities for the authorization server holds no certificate in PEM")
		}
	}
	return &Source{opts: opts, client: &http.Client{
		Transport: &sparing{next: transport},
		Timeout:   timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the authorization server redirects: configure where it redirects to")
		},
	}}, nil
}

// checkURL refuses what others on the network could answer.
func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return errors.New("an address of the authorization server is not a URL")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%s: it must begin with https://, or its keys could be anybody's", u.Redacted())
}

// Close closes connections that are idle.
func (s *Source) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Token implements directory.TokenSource.
func (s *Source) Token(ctx context.Context, login pop3server.Login) (*directory.User, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	check := s.introspect
	if s.opts.IntrospectionURL == "" || s.opts.Issuer != "" && strings.Count(login.Password, ".") == 2 {
		check = s.verify
	}
	claims, err := check(ctx, login.Password)
	if err != nil {
		return nil, err
	}
	if err := s.hasScopes(claims); err != nil {
		return nil, err
	}
	name, _ := claims[s.opts.UserClaim].(string)
	if name == "" {
		return nil, s.refuse("the token does not say whose it is: it has no claim %s", s.opts.UserClaim)
	}
	if err := directory.CheckName(name); err != nil {
		return nil, s.refuse("the name in the token cannot be used: %v", err)
	}
	// OpenID Connect Core section 5.1: an address that the issuer has not
	// verified may be typed in by anybody.
	if verified, given := claims["email_verified"]; given && s.opts.UserClaim == "email" && verified != true && verified != "true" {
		return nil, s.refuse("the issuer has not verified that the address is the user's: email_verified is %v", verified)
	}
	if login.Username != "" && !strings.EqualFold(login.Username, name) {
		return nil, s.refuse("the token is of another user")
	}
	return &directory.User{Name: name}, nil
}

// verify checks a signed token.
func (s *Source) verify(ctx context.Context, token string) (map[string]any, error) {
	verifier, err := s.discovered(ctx)
	if err != nil {
		return nil, err
	}
	var fetch fetchFault
	checked, err := verifier.Verify(context.WithValue(ctx, faultKey{}, &fetch), token)
	if fetch.err != nil {
		return nil, fmt.Errorf("OAuth: the keys of the issuer: %w", fetch.err)
	}
	if err != nil {
		return nil, s.refuse("%v", err)
	}
	var claims map[string]any
	if err := checked.Claims(&claims); err != nil {
		return nil, s.refuse("%v", err)
	}
	if nbf, ok := claims["nbf"].(float64); ok && time.Until(time.Unix(int64(nbf), 0)) > time.Minute {
		return nil, s.refuse("the token is not valid yet") // the library would take it five minutes early
	}
	return claims, nil
}

// discovered gives what checks tokens, once the issuer was reached.
func (s *Source) discovered(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.verifier != nil && time.Since(s.since) < keysFor {
		return s.verifier, nil
	}
	ctx = oidc.ClientContext(ctx, s.client)
	at := s.opts.JWKSURL
	if at == "" {
		provider, err := oidc.NewProvider(ctx, s.opts.Issuer)
		if err != nil {
			return nil, fmt.Errorf("OAuth: discovery of the issuer: %w", err)
		}
		var found struct {
			JWKSURL string `json:"jwks_uri"`
		}
		if err := provider.Claims(&found); err != nil {
			return nil, fmt.Errorf("OAuth: discovery of the issuer: %w", err)
		}
		if err := checkURL(found.JWKSURL); found.JWKSURL == "" || err != nil {
			return nil, errors.Join(errors.New("OAuth: the issuer does not say where its keys are"), err)
		}
		at = found.JWKSURL
	}
	keys := watchedKeys{oidc.NewRemoteKeySet(ctx, at)}
	s.since = time.Now()
	s.verifier = oidc.NewVerifier(s.opts.Issuer, keys, &oidc.Config{ClientID: s.opts.Audience, SupportedSigningAlgs: algorithms})
	return s.verifier, nil
}

// hasScopes checks the claim scope (RFC 9068 section 2.2.3), or scp, as
// Microsoft calls it.
func (s *Source) hasScopes(claims map[string]any) error {
	var has []string
	for _, name := range []string{"scope", "scp"} {
		switch value := claims[name].(type) {
		case string:
			has = append(has, strings.Fields(value)...)
		case []any:
			for _, one := range value {
				if text, ok := one.(string); ok {
					has = append(has, text)
				}
			}
		}
	}
	for _, want := range s.opts.Scopes {
		if !slices.Contains(has, want) {
			s.opts.Logger.Debug("token refused", "reason", "the token lacks the scope "+want)
			return errors.Join(fmt.Errorf("OAuth: the token lacks the scope %s: %w", want, pop3server.ErrBadCredentials),
				&sasl.BearerError{Status: "insufficient_scope", Scope: strings.Join(s.opts.Scopes, " ")})
		}
	}
	return nil
}

// refuse is why a token is not taken, for the log. The client learns no more
// than that.
func (s *Source) refuse(format string, args ...any) error {
	why := fmt.Sprintf(format, args...)
	s.opts.Logger.Debug("token refused", "reason", why)
	told := &sasl.BearerError{Status: "invalid_token", Scope: strings.Join(s.opts.Scopes, " ")}
	if s.opts.Issuer != "" {
		told.OpenIDConfiguration = strings.TrimSuffix(s.opts.Issuer, "/") + "/.well-known/openid-configuration"
	}
	return errors.Join(fmt.Errorf("OAuth: %s: %w", why, pop3server.ErrBadCredentials), told)
}
