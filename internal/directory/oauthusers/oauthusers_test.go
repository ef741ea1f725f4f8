package oauthusers

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

// issuer is an authorization server.
type issuer struct {
	*httptest.Server
	keys    atomic.Pointer[jose.JSONWebKeySet]
	fetched atomic.Int32
	hangs   atomic.Bool
	broken  atomic.Bool
	answer  atomic.Pointer[string] // to introspection
	asked   atomic.Pointer[http.Request]
	closing chan struct{}
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{closing: make(chan struct{})}
	i.keys.Store(&jose.JSONWebKeySet{})
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "authorization_endpoint": i.URL, "token_endpoint": i.URL,
			"id_token_signing_alg_values_supported": []string{"RS256", "none", "HS256"}})
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, r *http.Request) {
		i.fetched.Add(1)
		switch {
		case i.hangs.Load():
			<-i.closing
		case i.broken.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			json.NewEncoder(w).Encode(i.keys.Load())
		}
	})
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		i.asked.Store(r)
		w.Write([]byte(*i.answer.Load()))
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(func() { close(i.closing); i.Close() })
	return i
}

type signer struct {
	alg jose.SignatureAlgorithm
	kid string
	key any
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.(crypto.Signer).Public(), KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}
}

func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	j, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, (&jose.SignerOptions{}).WithHeader("kid", s.kid))
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	signed, err := j.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newRSA(t *testing.T, kid string) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer{jose.RS256, kid, key}
}

// with gives good claims with some changed; nil takes one away.
func (i *issuer) with(changes ...any) map[string]any {
	claims := map[string]any{"iss": i.URL, "aud": []string{"poplin", "other"}, "email": "anna@example.org", "scope": "pop openid",
		"exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(-time.Hour).Unix()}
	for n := 0; n < len(changes); n += 2 {
		if changes[n+1] == nil {
			delete(claims, changes[n].(string))
		} else {
			claims[changes[n].(string)] = changes[n+1]
		}
	}
	return claims
}

func source(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ask(s *Source, user, token string) (string, error) {
	u, err := s.Token(context.Background(), pop3server.Login{Username: user, Password: token})
	if err != nil {
		return "", err
	}
	return u.Name, nil
}

func TestSignedTokens(t *testing.T) {
	i := newIssuer(t)
	good := newRSA(t, "k1")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elliptical := signer{jose.ES256, "k2", ec}
	i.keys.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{good.public(), elliptical.public()}})
	stranger := newRSA(t, "k1")
	der, err := x509.MarshalPKIXPublicKey(good.key.(*rsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	shared := signer{jose.HS256, "k1", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	none := func(claims map[string]any) string {
		payload, _ := json.Marshal(claims)
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	s := source(t, Options{Issuer: i.URL, Audience: "poplin", Scopes: []string{"pop", "openid"}})
	cases := []struct {
		what, user, token, status string // status empty: taken
	}{
		{"good", "", good.sign(t, i.with()), ""},
		{"good, of the user", "Anna@example.org", good.sign(t, i.with()), ""},
		{"another algorithm", "", elliptical.sign(t, i.with()), ""},
		{"scp", "", good.sign(t, i.with("scope", nil, "scp", []string{"pop", "openid"})), ""},
		{"of another user", "bert@example.org", good.sign(t, i.with()), "invalid_token"},
		{"no signature", "", none(i.with()), "invalid_token"},
		{"signed with the public key", "", shared.sign(t, i.with()), "invalid_token"},
		{"a stranger's key", "", stranger.sign(t, i.with()), "invalid_token"},
		{"wrong key type", "", signer{jose.ES256, "k1", ec}.sign(t, i.with()), "invalid_token"},
		{"another issuer", "", good.sign(t, i.with("iss", "https://evil.example")), "invalid_token"},
		{"no issuer", "", good.sign(t, i.with("iss", nil)), "invalid_token"},
		{"another audience", "", good.sign(t, i.with("aud", "other")), "invalid_token"},
		{"no audience", "", good.sign(t, i.with("aud", nil)), "invalid_token"},
		{"one of two scopes", "", good.sign(t, i.with("scope", "pop")), "insufficient_scope"},
		{"a scope that is longer", "", good.sign(t, i.with("scope", "pop openidx")), "insufficient_scope"},
		{"no scope", "", good.sign(t, i.with("scope", nil)), "insufficient_scope"},
		{"expired", "", good.sign(t, i.with("exp", time.Now().Add(-time.Minute).Unix())), "invalid_token"},
		{"no end", "", good.sign(t, i.with("exp", nil)), "invalid_token"},
		{"not valid yet", "", good.sign(t, i.with("nbf", time.Now().Add(3*time.Minute).Unix())), "invalid_token"},
		{"no user", "", good.sign(t, i.with("email", nil)), "invalid_token"},
		{"address not verified", "", good.sign(t, i.with("email_verified", false)), "invalid_token"},
		{"address not verified, as text", "", good.sign(t, i.with("email_verified", "false")), "invalid_token"},
		{"user that is no text", "", good.sign(t, i.with("email", 7)), "invalid_token"},
		{"user that is a path", "", good.sign(t, i.with("email", "../x")), "invalid_token"},
		{"changed", "", strings.Replace(good.sign(t, i.with()), ".", ".e30", 1), "invalid_token"},
		{"rubbish", "", "a.b.c", "invalid_token"},
		{"empty", "", "", "invalid_token"},
		{"long", "", strings.Repeat("x", 1<<20), "invalid_token"},
	}
	for _, c := range cases {
		name, err := ask(s, c.user, c.token)
		var told *sasl.BearerError
		if c.status == "" {
			if err != nil || name != "anna@example.org" {
				t.Errorf("%s: %q, %v", c.what, name, err)
			}
			continue
		}
		if !errors.Is(err, pop3server.ErrBadCredentials) || !errors.As(err, &told) || told.Status != c.status || told.Scope != "pop openid" {
			t.Errorf("%s: %q, %v, told %+v", c.what, name, err, told)
		}
		if c.token != "" && strings.Contains(fmt.Sprint(err), c.token) {
			t.Errorf("%s: the error holds the token", c.what)
		}
	}
	if n := i.fetched.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times for %d tokens", n, len(cases))
	}
}

// TestRefusalsAreLogged: the reply does not say why a token is refused.
func TestRefusalsAreLogged(t *testing.T) {
	i := newIssuer(t)
	key := newRSA(t, "k1")
	i.keys.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.public()}})
	var log bytes.Buffer
	s := source(t, Options{Issuer: i.URL, Audience: "poplin", Scopes: []string{"pop"},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for reason, claims := range map[string]map[string]any{
		"lacks the scope pop": i.with("scope", "openid"),
		"no claim email":      i.with("email", nil),
		"token is expired":    i.with("exp", 1),
	} {
		log.Reset()
		if _, err := ask(s, "", key.sign(t, claims)); err == nil {
			t.Errorf("%s: taken", reason)
		}
		if !strings.Contains(log.String(), "token refused") || !strings.Contains(log.String(), reason) {
			t.Errorf("%s: the log has %q", reason, &log)
		}
	}
}

// TestNewKeys: a key that is new is fetched, though not for each token that
// names one.
func TestNewKeys(t *testing.T) {
	i := newIssuer(t)
	first, second := newRSA(t, "k1"), newRSA(t, "k2")
	i.keys.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{first.public()}})
	s := source(t, Options{Issuer: i.URL, Audience: "poplin", JWKSURL: i.URL + "/jwks", UserClaim: "sub"})
	if _, err := ask(s, "", first.sign(t, i.with("sub", "anna"))); err != nil {
		t.Fatal(err)
	}
	i.keys.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{second.public()}})
	for range 20 {
		if _, err := ask(s, "", second.sign(t, i.with("sub", "anna"))); !errors.Is(err, pop3server.ErrBadCredentials) {
			t.Fatalf("a key that is not known yet: %v", err)
		}
	}
	if n := i.fetched.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	spare := s.client.Transport.(*sparing)
	var name string
	err := errors.New("not asked")
	for range 500 { // a question may take the keys that the one before it asked for
		spare.mu.Lock()
		for at, got := range spare.last {
			got.at = got.at.Add(-spareTime)
			spare.last[at] = got
		}
		spare.mu.Unlock()
		if name, err = ask(s, "", second.sign(t, i.with("sub", "anna"))); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil || name != "anna" {
		t.Errorf("the new key: %q, %v", name, err)
	}
	old := first.sign(t, i.with("sub", "anna"))
	for range 500 { // the library puts new keys in place a moment after it used them
		if _, err := ask(s, "", old); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the old key is still taken")
}

// TestIssuerGone: that is no wrong password.
func TestIssuerGone(t *testing.T) {
	i := newIssuer(t)
	key := newRSA(t, "k1")
	token := key.sign(t, i.with())
	s := source(t, Options{Issuer: i.URL, Audience: "poplin"})
	i.broken.Store(true)
	if _, err := ask(s, "", token); err == nil || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("keys that cannot be fetched: %v", err)
	}
	i.broken.Store(false)
	i.hangs.Store(true)
	s = source(t, Options{Issuer: i.URL, Audience: "poplin"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Token(ctx, pop3server.Login{Password: token}); err == nil || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("keys that do not come: %v", err)
	}
	i.CloseClientConnections()
	s = source(t, Options{Issuer: i.URL + "/elsewhere", Audience: "poplin"})
	if _, err := ask(s, "", token); err == nil || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("discovery that fails: %v", err)
	}
}

func TestIntrospection(t *testing.T) {
	i := newIssuer(t)
	s := source(t, Options{IntrospectionURL: i.URL + "/introspect", Issuer: i.URL, Audience: "poplin", Scopes: []string{"pop"}, UserClaim: "username",
		ClientID: "po:plin", ClientSecret: "s&crét"})
	base := func(changes ...any) string {
		claims := i.with(append([]any{"active", true, "username", "anna"}, changes...)...)
		data, _ := json.Marshal(claims)
		return string(data)
	}
	for what, c := range map[string]struct {
		answer string
		ok     bool
		bad    bool // the token is, not the server
	}{
		"good":              {answer: base(), ok: true},
		"no issuer, no end": {answer: base("iss", nil, "exp", nil, "nbf", nil), ok: true},
		"not active":        {answer: `{"active":false}`, bad: true},
		"active in quotes":  {answer: base("active", "true"), bad: true},
		"another issuer":    {answer: base("iss", "https://evil.example"), bad: true},
		"another audience":  {answer: base("aud", "other"), bad: true},
		"no audience":       {answer: base("aud", nil), bad: true},
		"expired":           {answer: base("exp", 1), bad: true},
		"end that is text":  {answer: base("exp", "never"), bad: true},
		"not valid yet":     {answer: base("nbf", time.Now().Add(time.Hour).Unix()), bad: true},
		"no scope":          {answer: base("scope", "openid"), bad: true},
		"no user":           {answer: base("username", nil), bad: true},
		"no JSON":           {answer: "<html>"},
		"long":              {answer: `{"active":true,"x":"` + strings.Repeat("x", maxReply) + `"}`},
	} {
		i.answer.Store(&c.answer)
		name, err := ask(s, "", "opaque&token")
		if c.ok && (err != nil || name != "anna") || !c.ok && (err == nil || errors.Is(err, pop3server.ErrBadCredentials) != c.bad) {
			t.Errorf("%s: %q, %v", what, name, err)
		}
	}
	r := i.asked.Load()
	user, secret, _ := r.BasicAuth()
	if r.Method != http.MethodPost || r.PostForm.Get("token") != "opaque&token" || user != "po%3Aplin" || secret != "s%26cr%C3%A9t" {
		t.Errorf("asked as %q with %q: %v", user, secret, r.PostForm)
	}
}

// TestWithdrawnKey: a key that the issuer gives no more is not taken for long,
// though no token with a new key shows that there are others.
func TestWithdrawnKey(t *testing.T) {
	i := newIssuer(t)
	stolen, other := newRSA(t, "k1"), newRSA(t, "k2")
	i.keys.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{stolen.public(), other.public()}})
	s := source(t, Options{Issuer: i.URL, Audience: "poplin"})
	token := stolen.sign(t, i.with())
	if _, err := ask(s, "", token); err != nil {
		t.Fatal(err)
	}
	i.keys.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{other.public()}})
	s.mu.Lock()
	s.since = s.since.Add(-keysFor)
	s.mu.Unlock()
	spare := s.client.Transport.(*sparing)
	spare.mu.Lock()
	clear(spare.last)
	spare.mu.Unlock()
	if _, err := ask(s, "", token); !errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("the key that was withdrawn: %v", err)
	}
	if _, err := ask(s, "", other.sign(t, i.with())); err != nil {
		t.Errorf("the key that was not: %v", err)
	}
}

// TestIntrospectionWaits: a server that closed a connection which was kept is
// asked again, and one that hangs is not waited for.
func TestIntrospectionWaits(t *testing.T) {
	i := newIssuer(t)
	answer, _ := json.Marshal(i.with("active", true))
	seen := map[string]bool{}
	var mu sync.Mutex
	var hangs atomic.Bool
	closing := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hangs.Load() {
			<-closing
		}
		mu.Lock()
		again := seen[r.RemoteAddr]
		seen[r.RemoteAddr] = true
		mu.Unlock()
		if again { // as if it had been closed just before
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		w.Write(answer)
	}))
	t.Cleanup(func() { close(closing); server.Close() })
	s := source(t, Options{IntrospectionURL: server.URL, Audience: "poplin"})
	for n := range 3 {
		if name, err := ask(s, "", "opaque"); err != nil || name != "anna@example.org" {
			t.Fatalf("login %d: %q, %v", n, name, err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d connections, want 3: none was used again", len(seen))
	}
	hangs.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Token(ctx, pop3server.Login{Password: "opaque"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("a server that hangs: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for what, o := range map[string]Options{
		"no audience":      {Issuer: "https://127.0.0.1"},
		"no issuer":        {Audience: "a"},
		"keys of nobody":   {Audience: "a", JWKSURL: "https://127.0.0.1/k", IntrospectionURL: "https://127.0.0.1/i"},
		"clear text":       {Audience: "a", Issuer: "http://issuer.example"},
		"no URL":           {Audience: "a", Issuer: "issuer"},
		"authorities":      {Audience: "a", Issuer: "https://127.0.0.1", CA: []byte("x")},
		"clear text, asks": {Audience: "a", IntrospectionURL: "http://192.0.2.1"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	s := source(t, Options{Issuer: "https://127.0.0.1:1", Audience: "a"})
	if _, err := ask(s, "", "a.b.c"); err == nil || errors.Is(err, pop3server.ErrBadCredentials) {
		t.Errorf("nobody there: %v", err)
	}
}
