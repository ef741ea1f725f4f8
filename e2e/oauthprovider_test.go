package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// consent is an OAuth provider as clients meet it: consent by a browser (RFC
// 7636) or by a code (RFC 8628), and tokens that are renewed, each refresh token
// once. Its access tokens are those of the issuer.
type consent struct {
	*httptest.Server
	make func(life time.Duration, good bool) string // an access token

	mu       sync.Mutex
	approved bool              // the code of a device
	codes    map[string]string // challenges, by code
	refresh  string            // the token that is good
	renewals int
	life     time.Duration // of the next access token
	bad      bool          // the next one is one that the mail server does not take
	tokens   []string      // all that were given, of either kind
}

const userCode = "WDJB-MJHT"

func startConsent(t *testing.T, make func(life time.Duration, good bool) string) *consent {
	p := &consent{make: make, codes: map[string]string{}, life: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{"device_code": "device", "user_code": userCode, "verification_uri": p.URL + "/enter", "expires_in": 600, "interval": 1})
	})
	mux.HandleFunc("POST /enter", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.approved = r.FormValue("code") == userCode
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		code := rand.Text()
		p.codes[code] = r.FormValue("code_challenge")
		back := url.Values{"code": {code}, "state": {r.FormValue("state")}}
		http.Redirect(w, r, r.FormValue("redirect_uri")+"/?"+back.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *consent) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fail := ""
	switch r.FormValue("grant_type") {
	case "urn:ietf:params:oauth:grant-type:device_code":
		if !p.approved {
			fail = "authorization_pending"
		}
		p.approved = false
	case "authorization_code":
		code := r.FormValue("code")
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if p.codes[code] == "" || p.codes[code] != base64URL(sum[:]) {
			fail = "invalid_grant"
		}
		delete(p.codes, code)
	case "refresh_token":
		p.renewals++
		if r.FormValue("refresh_token") != p.refresh {
			fail = "invalid_grant"
		}
	default:
		fail = "unsupported_grant_type"
	}
	if r.FormValue("client_id") != "poplin-fetch" {
		fail = "invalid_client"
	}
	if fail != "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q}`, fail)
		return
	}
	access := p.make(p.life, !p.bad)
	p.refresh = "refresh-" + rand.Text()
	p.tokens = append(p.tokens, access, p.refresh)
	writeJSON(w, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(p.life / time.Second), "refresh_token": p.refresh})
	p.life, p.bad = time.Hour, false
}

// next says what the next access token is like.
func (p *consent) next(life time.Duration, bad bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life, p.bad = life, bad
}

// revoke takes the consent back.
func (p *consent) revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh = ""
}

func (p *consent) renewed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.renewals
}
