package oauth

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/oauth2"

	"github.com/poplin-mail/poplin/internal/fetch/credential"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperFolder) != "" {
		os.Exit(helper())
	}
	goleak.VerifyTestMain(m)
}

const (
	testID     = "client-1"
	testSecret = "SECRET-of-the-client"
)

// provider is an authorization server in a few lines. Everything that it
// makes and that must not show begins with SECRET.
type provider struct {
	url string

	mu         sync.Mutex
	n          int               // of tokens made
	refreshes  int               // that were asked for
	valid      map[string]bool   // refresh tokens that are good
	codes      map[string]string // authorization codes, with the challenge of each
	redirects  map[string]string // and the redirect
	device     string            // the code of the device flow
	polls      []time.Time
	seen       []url.Values // every form, in order
	revoked    []string
	scriptPoll func(n int) string                                // gives an error for the nth poll, "" for success
	before     func(w http.ResponseWriter, r *http.Request) bool // handles a request itself where it gives true
	life       time.Duration
	rotate     bool
	silent     bool // gives no refresh token
}

func newProvider() *provider {
	return &provider{valid: map[string]bool{}, codes: map[string]string{}, redirects: map[string]string{}, life: time.Hour, rotate: true}
}

// token makes the answer of the token endpoint, under the lock.
func (p *provider) token(w http.ResponseWriter, old string) {
	p.n++
	answer := map[string]any{"access_token": fmt.Sprintf("SECRET-access-%d", p.n), "token_type": "Bearer"}
	if p.life != 0 {
		answer["expires_in"] = int(p.life / time.Second)
	}
	if !p.silent && (old == "" || p.rotate) {
		refresh := fmt.Sprintf("SECRET-refresh-%d", p.n)
		delete(p.valid, old)
		p.valid[refresh] = true
		answer["refresh_token"] = refresh
	}
	send(w, http.StatusOK, answer)
}

func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, code string) {
	send(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": "AADSTS70008: the token SECRET-told is not good\x1b[2J"})
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.before != nil && p.before(w, r) {
		return
	}
	r.ParseForm()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, r.Form)
	if r.URL.Path != "/authorize" && (r.Method != http.MethodPost || r.Form.Get("client_id") != testID) {
		fail(w, "invalid_client")
		return
	}
	switch r.URL.Path {
	case "/authorize": // the person at the browser says yes
		code := "SECRET-code-" + rand.Text()
		p.codes[code] = r.Form.Get("code_challenge")
		p.redirects[code] = r.Form.Get("redirect_uri")
		back := url.Values{"code": {code}, "state": {r.Form.Get("state")}}
		http.Redirect(w, r, r.Form.Get("redirect_uri")+"/?"+back.Encode(), http.StatusFound)
	case "/device":
		p.device = "SECRET-device"
		send(w, http.StatusOK, map[string]any{"device_code": p.device, "user_code": "ABCD-EFGH", "verification_uri": "https://provider.example/device",
			"verification_uri_complete": "https://provider.example/device?code=ABCD-EFGH", "expires_in": 900, "interval": 7})
	case "/token":
		p.tokenEndpoint(w, r.Form)
	case "/revoke":
		p.revoked = append(p.revoked, r.Form.Get("token"))
	default:
		http.NotFound(w, r)
	}
}

func (p *provider) tokenEndpoint(w http.ResponseWriter, form url.Values) {
	if form.Get("client_secret") != testSecret {
		fail(w, "invalid_client")
		return
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		code := form.Get("code")
		challenge, known := p.codes[code]
		delete(p.codes, code)
		if !known || challenge == "" || oauth2.S256ChallengeFromVerifier(form.Get("code_verifier")) != challenge || p.redirects[code] != form.Get("redirect_uri") {
			fail(w, "invalid_grant")
			return
		}
		p.token(w, "")
	case "refresh_token":
		p.refreshes++
		old := form.Get("refresh_token")
		if !p.valid[old] {
			fail(w, "invalid_grant")
			return
		}
		p.token(w, old)
	case "urn:ietf:params:oauth:grant-type:device_code":
		p.polls = append(p.polls, time.Now())
		if form.Get("device_code") != p.device {
			fail(w, "invalid_grant")
		} else if code := p.scriptPoll(len(p.polls)); code != "" {
			fail(w, code)
		} else {
			p.token(w, "")
		}
	default:
		fail(w, "unsupported_grant_type")
	}
}

// start serves the provider on loopback.
func start(t *testing.T) *provider {
	p := newProvider()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *provider) config(folder string) Config {
	return Config{
		Account: "work", User: "me@example.org", ClientID: testID, ClientSecret: credential.Literal(testSecret), Folder: folder,
		Endpoints: Endpoints{AuthURL: p.url + "/authorize", TokenURL: p.url + "/token", DeviceURL: p.url + "/device", RevokeURL: p.url + "/revoke",
			Scopes: []string{"https://mail.example/pop", "offline_access"}, Params: map[string]string{"access_type": "offline"}},
	}
}

func newSource(t *testing.T, c Config) *Source {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stored puts a record in place as a login would.
func stored(t *testing.T, s *Source, p *provider, left time.Duration) *record {
	t.Helper()
	p.mu.Lock()
	p.valid["SECRET-refresh-0"] = true
	p.mu.Unlock()
	err := s.save(t.Context(), &oauth2.Token{AccessToken: "SECRET-access-0", RefreshToken: "SECRET-refresh-0", Expiry: time.Now().Add(left)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.store.read()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// harmless checks that an error shows nothing secret, however it is printed,
// and nothing that a terminal would obey.
func harmless(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, shown := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
			if strings.Contains(shown, "SECRET") || strings.ContainsRune(shown, 0x1b) {
				t.Errorf("the error shows %q", shown)
			}
		}
	}
}

// safeFolder checks the modes of all files, and that nothing half made is left.
func safeFolder(t *testing.T, folder string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		if !d.IsDir() && !slices.Contains([]string{".json", ".lock"}, filepath.Ext(path)) {
			t.Errorf("%s was left behind", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// inMemory sends requests to a handler without a network, as a bubble of
// testing/synctest needs.
type inMemory struct{ handler http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	var body bytes.Buffer
	if r.Body != nil {
		body.ReadFrom(r.Body)
		r.Body.Close()
	}
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), &body)
	in.Header = r.Header.Clone()
	out := httptest.NewRecorder()
	m.handler.ServeHTTP(out, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return out.Result(), nil
}
