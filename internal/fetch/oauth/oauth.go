// Package oauth gets, keeps and renews the tokens of OAuth 2.0 (RFC 6749) with
// which accounts log in: RFC 8628 (device authorization grant), RFC 7636
// (PKCE) over a loopback redirect (RFC 8252), refresh with rotation, RFC 7009
// (revocation). The requests themselves are golang.org/x/oauth2's.
//
// A person logs in once, with Source.LoginBrowser or Source.LoginDevice; from
// then on Source.Token gives a token that is good for a minute at least.
//
// Tokens lie in a file an account, which its owner alone can read. A kernel
// lock sees to it that of two processes one renews, and the other takes what
// that one got: some providers take a refresh token once only. Nothing that is
// secret stands in errors or logs, nor anything that a provider sent but error
// codes in their plain form.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/poplin-mail/poplin/internal/fetch/credential"
)

const (
	// early is how much time a token must have left to be given out.
	early = time.Minute

	// assumed is how long a token is good where the provider does not say
	// (RFC 6749 section 5.1) and has given means to renew it.
	assumed = time.Hour

	// maxToken bounds a token, in octets.
	maxToken = 64 << 10
)

// Tokens gives a token for the next login.
type Tokens interface {
	Token(ctx context.Context) (string, error)
}

// Printed gives the token that a source of passwords gives: a command that
// prints one, for those who have another program log in.
func Printed(from credential.Source) Tokens { return printed{from} }

type printed struct{ from credential.Source }

func (p printed) Token(ctx context.Context) (string, error) { return p.from.Secret(ctx) }

// Endpoints are what a provider is known by. All URLs are https.
type Endpoints struct {
	AuthURL   string // for a browser; empty where there is none
	TokenURL  string
	DeviceURL string            // empty where the device flow is not for mail
	RevokeURL string            // empty where tokens cannot be revoked by a program
	Scopes    []string          // what is asked for
	Params    map[string]string // further parameters for the browser
	Redirect  string            // the host of the loopback redirect; empty stands for 127.0.0.1 (RFC 8252 section 8.3)
}

// Config says how an account gets its tokens.
type Config struct {
	Account      string // its name, in messages and in the name of the file
	User         string // whom to log in as, a hint for the browser; may be empty
	Endpoints    Endpoints
	ClientID     string
	ClientSecret credential.Source // nil for a public client
	Folder       string            // where tokens lie; made with mode 0700 if it is not there

	// Transport makes the requests, nil for one with time-outs that verifies
	// certificates.
	Transport http.RoundTripper

	// Logger gets what went wrong without harm to the caller. Nil: nothing.
	Logger *slog.Logger
}

// Source gives the tokens of one account. It may be used from several
// goroutines at once.
type Source struct {
	config Config
	store  store
	logger *slog.Logger
	base   http.RoundTripper
	wait   time.Duration // for a person at the browser

	mu      sync.Mutex
	unsaved *record // what could not be written, and is the only good one
}

var _ Tokens = (*Source)(nil)

// New checks the configuration. It touches neither disk nor network.
func New(c Config) (*Source, error) {
	if c.ClientID == "" {
		return nil, errors.New("oauth_client_id is missing: docs/howto/oauth.md says how to register one")
	}
	for _, url := range []string{c.Endpoints.TokenURL, c.Endpoints.AuthURL, c.Endpoints.DeviceURL, c.Endpoints.RevokeURL} {
		if err := checkURL(url); err != nil && (url != "" || url == c.Endpoints.TokenURL) {
			return nil, err
		}
	}
	switch c.Endpoints.Redirect {
	case "", "127.0.0.1", "localhost":
	default:
		return nil, errors.New("the redirect of a login must be to 127.0.0.1 or localhost")
	}
	store, err := newStore(c.Folder, c.Account)
	if err != nil {
		return nil, err
	}
	s := &Source{config: c, store: store, logger: c.Logger, base: c.Transport, wait: browserWait}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.base == nil {
		s.base = newTransport()
	}
	return s, nil
}

// Token gives a token that is good for a minute at least, and renews the one
// that there is if need be. A *LoginError says that a person must log in, a
// *TemporaryError that it may work later.
//
// A renewal that the provider may have carried out is waited for even when
// ctx has ended, for some seconds: its answer is the only good token then.
func (s *Source) Token(ctx context.Context) (string, error) { return s.token(ctx, "") }

// Renew gives another token than the one that a server has refused although
// it should have been good.
func (s *Source) Renew(ctx context.Context, refused string) (string, error) {
	return s.token(ctx, refused)
}

func (s *Source) token(ctx context.Context, refused string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	s.saveAgain(ctx)
	r, err := s.current()
	if err != nil {
		return "", err
	}
	if r.good(refused) {
		return r.AccessToken, nil
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if r, err = s.current(); err != nil { // another process may have renewed it while this one waited
		return "", err
	}
	if r.good(refused) {
		return r.AccessToken, nil
	}
	next, err := s.refresh(ctx, r)
	if err == nil {
		return next.AccessToken, nil
	}
	var temporary *TemporaryError
	if errors.As(err, &temporary) && r.AccessToken != refused && time.Now().Before(r.Expiry) {
		return r.AccessToken, nil // its last minute may do
	}
	return "", err
}

// current gives the record in force, which is of this client and provider.
func (s *Source) current() (*record, error) {
	unsaved := s.kept()
	r, err := s.store.read()
	if unsaved != nil && (err != nil || unsaved.Issued.After(r.Issued)) {
		r, err = unsaved, nil
	}
	switch {
	case errors.Is(err, errNone):
		return nil, &LoginError{Account: s.config.Account, Reason: "nobody has logged in yet"}
	case errors.Is(err, errDamaged):
		return nil, &LoginError{Account: s.config.Account, Reason: "the stored token is damaged"}
	case err != nil:
		return nil, err
	case r.ClientID != s.config.ClientID || r.TokenURL != s.config.Endpoints.TokenURL:
		// A refresh token goes to whom it came from, and to nobody else.
		return nil, &LoginError{Account: s.config.Account, Reason: "the stored token is of another client id or provider"}
	}
	return r, nil
}

// refresh renews the tokens, under the lock. The new ones are on disk before
// the access token is given out: the old refresh token may be worth nothing
// any more (RFC 6749 section 6).
func (s *Source) refresh(ctx context.Context, r *record) (*record, error) {
	if r.RefreshToken == "" {
		return nil, &LoginError{Account: s.config.Account, Reason: "the token has run out, and the provider gave none to renew it with"}
	}
	config, err := s.oauth2(ctx)
	if err != nil {
		return nil, err
	}
	draft, err := s.store.begin() // nothing is asked of the provider that there is no place for
	if err != nil {
		return nil, err
	}
	defer draft.drop()
	patient, done := withPatience(ctx)
	defer done()
	token, err := config.TokenSource(s.with(patient), &oauth2.Token{RefreshToken: r.RefreshToken}).Token()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.explain(err, true)
	}
	next, err := s.newRecord(token)
	if err != nil {
		return nil, err
	}
	if err := draft.commit(next); err != nil {
		s.logger.Error("the renewed token cannot be stored: it is lost when this process ends, and a login needed then", "account", s.config.Account, "error", err)
		s.keep(next)
		return next, nil
	}
	s.keep(nil)
	return next, nil
}

// keep notes what could not be written, or nil.
func (s *Source) keep(r *record) {
	s.mu.Lock()
	s.unsaved = r
	s.mu.Unlock()
}

func (s *Source) kept() *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsaved
}

// saveAgain tries once more to write what could not be written.
func (s *Source) saveAgain(ctx context.Context) {
	if s.kept() == nil {
		return
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return
	}
	defer unlock()
	r := s.kept()
	if stored, err := s.store.read(); r == nil || err == nil && stored.Issued.After(r.Issued) {
		s.keep(nil)
		return
	}
	draft, err := s.store.begin()
	if err != nil {
		return
	}
	defer draft.drop()
	if draft.commit(r) == nil {
		s.keep(nil)
	}
}

// newRecord checks what a provider gave.
func (s *Source) newRecord(token *oauth2.Token) (*record, error) {
	if !strings.EqualFold(token.Type(), "Bearer") {
		return nil, &RefusedError{Reason: "the provider gave a token that is no bearer token, which mail servers take alone"}
	}
	r := &record{
		Version: recordVersion, Account: s.config.Account, ClientID: s.config.ClientID, TokenURL: s.config.Endpoints.TokenURL,
		AccessToken: token.AccessToken, RefreshToken: token.RefreshToken, Expiry: token.Expiry, Issued: time.Now(),
	}
	if r.Expiry.IsZero() && r.RefreshToken != "" {
		r.Expiry = r.Issued.Add(assumed)
	}
	if !r.valid() {
		return nil, &RefusedError{Reason: "the provider gave a token that no mail server can take"}
	}
	return r, nil
}

// oauth2 makes the library's configuration.
func (s *Source) oauth2(ctx context.Context) (*oauth2.Config, error) {
	var secret string
	if s.config.ClientSecret != nil {
		var err error
		if secret, err = s.config.ClientSecret.Secret(ctx); err != nil {
			return nil, fmt.Errorf("the client's secret: %w", err)
		}
	}
	return &oauth2.Config{
		ClientID: s.config.ClientID, ClientSecret: secret, Scopes: s.config.Endpoints.Scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL: s.config.Endpoints.AuthURL, TokenURL: s.config.Endpoints.TokenURL, DeviceAuthURL: s.config.Endpoints.DeviceURL,
			// Tried both ways, a code that is good once would be spent on the wrong one.
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}, nil
}

// save stores what a login brought.
func (s *Source) save(ctx context.Context, token *oauth2.Token) error {
	if token.RefreshToken == "" && !token.Expiry.IsZero() {
		return &RefusedError{Reason: "the provider gave a token that cannot be renewed: remove Poplin's access in the settings of your account there, and log in once more"}
	}
	r, err := s.newRecord(token)
	if err != nil {
		return err
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	draft, err := s.store.begin()
	if err != nil {
		return err
	}
	defer draft.drop()
	if err := draft.commit(r); err != nil {
		return err
	}
	s.keep(nil)
	return nil
}
