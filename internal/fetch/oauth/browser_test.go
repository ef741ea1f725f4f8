package oauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// visit is a person's browser.
func visit(t *testing.T, address string) (status int, body string) {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(address)
	if err != nil {
		t.Errorf("the browser: %v", err)
		return 0, ""
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	if resp.Request.URL.Hostname() == "127.0.0.1" && strings.Contains(resp.Request.URL.Path, "authorize") {
		t.Errorf("the browser stayed at %s", resp.Request.URL)
	}
	return resp.StatusCode, string(data)
}

func TestBrowserLogin(t *testing.T) {
	for _, host := range []string{"", "localhost"} {
		p := start(t)
		c := p.config(t.TempDir())
		c.Endpoints.Redirect = host
		s := newSource(t, c)
		done := make(chan struct{})
		err := s.LoginBrowser(t.Context(), func(address string) {
			go func() {
				defer close(done)
				if status, body := visit(t, address); status != http.StatusOK || !strings.Contains(body, "You may close this page") {
					t.Errorf("the page: %d %q", status, body)
				}
			}()
		})
		<-done
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Token(t.Context()); got != "SECRET-access-1" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		asked := p.seen[0]
		for name, want := range map[string]string{"response_type": "code", "client_id": testID, "scope": "https://mail.example/pop offline_access",
			"code_challenge_method": "S256", "access_type": "offline", "login_hint": "me@example.org"} {
			if got := asked.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		redirect, _ := url.Parse(asked.Get("redirect_uri"))
		if want := map[string]string{"": "127.0.0.1", "localhost": "localhost"}[host]; redirect.Hostname() != want || redirect.Port() == "" || redirect.Path != "" {
			t.Errorf("redirect to %s", redirect)
		}
		if len(asked.Get("state")) < 20 {
			t.Errorf("state %q can be guessed", asked.Get("state"))
		}
	}
}

// back gives the address to which the browser is sent.
func back(t *testing.T, address string, query url.Values) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for i, state := range query["state"] {
		if state == "" { // stands for the right one
			query["state"][i] = u.Query().Get("state")
		}
	}
	return u.Query().Get("redirect_uri") + "/?" + query.Encode()
}

// Strangers who find the port end nothing and learn nothing; the login goes
// on.
func TestBrowserStrangers(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(t.TempDir()))
	done := make(chan struct{})
	err := s.LoginBrowser(t.Context(), func(address string) {
		go func() {
			defer close(done)
			own := back(t, address, url.Values{})
			for stranger, want := range map[string]int{
				own: http.StatusBadRequest,
				back(t, address, url.Values{"code": {"SECRET"}, "state": {"guessed"}}):         http.StatusBadRequest,
				back(t, address, url.Values{"error": {"access_denied"}, "state": {"guessed"}}): http.StatusBadRequest,
				back(t, address, url.Values{"code": {"SECRET"}, "state": {"", "guessed"}}):     http.StatusBadRequest,
				back(t, address, url.Values{"code": {"SECRET"}}):                               http.StatusBadRequest,
				strings.Replace(own, "/?", "/favicon.ico?", 1):                                 http.StatusNotFound,
				strings.Replace(own, "/?", "/%2e%2e/etc/passwd?", 1):                           http.StatusNotFound,
			} {
				if status, body := visit(t, stranger); status != want || strings.Contains(body, "SECRET") {
					t.Errorf("%s: %d %q, want %d", stranger, status, body, want)
				}
			}
			u, _ := url.Parse(address)
			posted := back(t, address, url.Values{"code": {"x"}, "state": {u.Query().Get("state")}})
			if resp, err := http.Post(posted, "text/plain", nil); err != nil || resp.StatusCode != http.StatusNotFound {
				t.Errorf("POST: %v, %v", resp, err)
			} else {
				resp.Body.Close()
			}
			visit(t, address)
		}()
	})
	<-done
	if err != nil {
		t.Error(err)
	}
	if p.n != 1 || len(p.seen) != 2 { // one authorization, one exchange
		t.Errorf("%d tokens, %d requests", p.n, len(p.seen))
	}
}

// browserLogin sends the browser back with this query.
func browserLogin(t *testing.T, p *provider, query url.Values) error {
	t.Helper()
	s := newSource(t, p.config(filepath.Join(t.TempDir(), "oauth")))
	done := make(chan struct{})
	err := s.LoginBrowser(t.Context(), func(address string) {
		go func() {
			defer close(done)
			visit(t, back(t, address, query))
		}()
	})
	<-done
	harmless(t, err)
	safeFolder(t, s.store.folder)
	if _, stored := s.store.read(); !errors.Is(stored, errNone) {
		t.Errorf("stored: %v", stored)
	}
	return err
}

func TestBrowserLoginIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		query url.Values
		code  string
	}{
		"denied":          {url.Values{"state": {""}, "error": {"access_denied"}, "error_description": {"SECRET AADSTS65004: no"}}, "access_denied"},
		"escape":          {url.Values{"state": {""}, "error": {"\x1b[2JSECRET"}}, ""},
		"no code":         {url.Values{"state": {""}}, ""},
		"empty code":      {url.Values{"state": {""}, "code": {""}}, ""},
		"two codes":       {url.Values{"state": {""}, "code": {"SECRET1", "SECRET2"}}, ""},
		"code of no form": {url.Values{"state": {""}, "code": {"SECRET\r\n"}}, ""},
		"invented code":   {url.Values{"state": {""}, "code": {"SECRET-code-invented"}}, "invalid_grant"},
	} {
		err := browserLogin(t, start(t), c.query)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Code != c.code {
			t.Errorf("%s: got %v", name, err)
		}
		if name == "denied" && !strings.Contains(err.Error(), "AADSTS65004") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	var temporary *TemporaryError
	if err := browserLogin(t, start(t), url.Values{"state": {""}, "error": {"temporarily_unavailable"}}); !errors.As(err, &temporary) {
		t.Errorf("got %v", err)
	}
}

// A code that somebody else has begun to get is of no use: the verifier is
// another (RFC 7636 section 4.6).
func TestStolenCodeIsOfNoUse(t *testing.T) {
	p := start(t)
	p.codes["SECRET-code-stolen"] = oauth2.S256ChallengeFromVerifier("somebody else's")
	err := browserLogin(t, p, url.Values{"state": {""}, "code": {"SECRET-code-stolen"}})
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Code != "invalid_grant" || p.n != 0 {
		t.Errorf("got %v, %d tokens", err, p.n)
	}
}

func TestNobodyComesBack(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(t.TempDir()))
	s.wait = time.Millisecond
	if err := s.LoginBrowser(t.Context(), func(string) {}); err == nil || !strings.Contains(err.Error(), "did not come back within 1ms") {
		t.Errorf("got %v", err)
	}
	s.wait = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var address string
	if err := s.LoginBrowser(ctx, func(url string) { address = url; cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := http.Get(back(t, address, url.Values{})); err == nil {
		t.Error("the port is still open")
	}
}

// Without a refresh token the login would last an hour.
func TestNoRefreshToken(t *testing.T) {
	p := start(t)
	p.silent = true
	s := newSource(t, p.config(t.TempDir()))
	login := func() error {
		done := make(chan struct{})
		err := s.LoginBrowser(t.Context(), func(address string) {
			go func() { defer close(done); visit(t, address) }()
		})
		<-done
		return err
	}
	if err := login(); err == nil || !strings.Contains(err.Error(), "cannot be renewed") {
		t.Errorf("got %v", err)
	}
	p.life = 0 // a token for ever needs none
	if err := login(); err != nil {
		t.Error(err)
	}
	if got, err := s.Token(t.Context()); got != "SECRET-access-2" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	var again *LoginError
	if _, err := s.Renew(t.Context(), "SECRET-access-2"); !errors.As(err, &again) {
		t.Errorf("got %v", err)
	}
}

func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"", "state=right&code=x", "state=wrong&code=x", "state=right&error=access_denied", "state=right&state=right&code=x",
		"state=right&code=a&code=b", "state=right;code=x", "state=right&code=%0d%0a", "%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got, ours := readAnswer(query, "right")
		switch {
		case !ours && got != (answer{}):
			t.Errorf("%q is not ours and gave %+v", query, got)
		case ours && !strings.Contains(query, "right") && !strings.Contains(query, "%"):
			t.Errorf("%q is ours without the state", query)
		case ours && (got.code == "") == (got.err == nil):
			t.Errorf("%q gave both or neither: %+v", query, got)
		case !printable(got.code):
			t.Errorf("%q gave %q", query, got.code)
		}
		if got.err != nil && !printable(got.err.Error()) {
			t.Errorf("%q gave the error %q", query, got.err)
		}
	})
}
