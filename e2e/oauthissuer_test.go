package e2e

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// clientSecret is what the server shows to the issuer.
const clientSecret = "client secret, 50 % of it"

// issuer is an authorization server: discovery, keys and introspection.
type issuer struct {
	url  string
	cert tls.Certificate
	web  *http.Server

	mu      sync.Mutex
	keys    []signingKey
	fetched int               // how often the keys were
	answers map[string]string // of introspection, by token
}

// signingKey is a key of the issuer, or of somebody else.
type signingKey struct {
	kid string
	*rsa.PrivateKey
}

func newSigningKey(t *testing.T, kid string) signingKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signingKey{kid, key}
}

// startIssuer starts an issuer with a certificate of the authority.
func startIssuer(t *testing.T, a authority, keys ...signingKey) *issuer {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{cert: cert, keys: keys, answers: map[string]string{}}
	i.start(t, "127.0.0.1:0")
	t.Cleanup(func() { i.stop(t) })
	return i
}

func (i *issuer) start(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	i.url = "https://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{
			"issuer": i.url, "jwks_uri": i.url + "/jwks", "authorization_endpoint": i.url + "/auth", "token_endpoint": i.url + "/token",
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /jwks", i.giveKeys)
	mux.HandleFunc("POST /introspect", i.introspect)
	i.web = &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{i.cert}, MinVersion: tls.VersionTLS12}}
	go func() {
		if err := i.web.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
}

func (i *issuer) stop(t *testing.T) {
	t.Helper()
	if err := i.web.Close(); err != nil {
		t.Error(err)
	}
}

func (i *issuer) giveKeys(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetched++
	var keys []map[string]string
	for _, k := range i.keys {
		keys = append(keys, map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": k.kid,
			"n": base64URL(k.N.Bytes()), "e": base64URL(big.NewInt(int64(k.E)).Bytes())})
	}
	writeJSON(w, map[string]any{"keys": keys})
}

// introspect is RFC 7662 section 2, with the client's name and secret by HTTP
// Basic as RFC 6749 section 2.3.1 encodes them.
func (i *issuer) introspect(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	name, secret, _ := r.BasicAuth()
	if name != "poplin" || secret != "client+secret%2C+50+%25+of+it" {
		w.WriteHeader(http.StatusUnauthorized)
		writeJSON(w, map[string]any{"error": "invalid_client"})
		return
	}
	answer, ok := i.answers[r.PostFormValue("token")]
	if !ok {
		answer = `{"active":false}`
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(answer)) // a client that had enough closes
}

// setKeys changes the issuer's keys.
func (i *issuer) setKeys(keys ...signingKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// timesFetched is how often the keys were.
func (i *issuer) timesFetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetched
}

// answer sets what introspection says of a token.
func (i *issuer) answer(token string, claims map[string]any) {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answers[token] = string(text)
}

// claims are those of a good token, with changes in pairs of name and value;
// nil takes a claim away.
func (i *issuer) claims(changes ...any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": i.url, "aud": []string{"poplin", "https://calendar.example.org"}, "sub": "7", "scope": "openid pop",
		"email": "anna@example.org", "email_verified": true, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(),
	}
	for n := 0; n < len(changes); n += 2 {
		name := changes[n].(string)
		if claims[name] = changes[n+1]; changes[n+1] == nil {
			delete(claims, name)
		}
	}
	return claims
}

// sign makes a JWT (RFC 7519) with RS256.
func (k signingKey) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	content := unsigned("RS256", k.kid, claims)
	sum := sha256.Sum256([]byte(content))
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.PrivateKey, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return content + "." + base64URL(signature)
}

// signShared makes one with HS256, whose shared secret is given.
func signShared(secret []byte, kid string, claims map[string]any) string {
	content := unsigned("HS256", kid, claims)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(content))
	return content + "." + base64URL(mac.Sum(nil))
}

// unsigned is the header and the claims of a JWT.
func unsigned(alg, kid string, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return base64URL(fmt.Appendf(nil, `{"typ":"at+jwt","alg":%q,"kid":%q}`, alg, kid)) + "." + base64URL(payload)
}

func base64URL(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// address is where the issuer listens.
func (i *issuer) address() string { return strings.TrimPrefix(i.url, "https://") }
