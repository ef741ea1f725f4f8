package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A token with more than a minute left is given out, and nobody is asked.
func TestTokenIsRenewedInItsLastMinute(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(filepath.Join(t.TempDir(), "state", "oauth")))
	stored(t, s, p, 2*time.Minute)
	if got, err := s.Token(t.Context()); got != "SECRET-access-0" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if p.refreshes != 0 {
		t.Errorf("%d refreshes", p.refreshes)
	}
	stored(t, s, p, 59*time.Second)
	for range 2 {
		if got, err := s.Token(t.Context()); got != "SECRET-access-1" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if p.refreshes != 1 {
		t.Errorf("%d refreshes, want 1", p.refreshes)
	}
	safeFolder(t, s.store.folder)
}

// The provider gives another refresh token each time and takes none twice.
func TestRotation(t *testing.T) {
	for _, rotate := range []bool{true, false} {
		p := start(t)
		p.life, p.rotate = 30*time.Second, rotate // renewed each time
		s := newSource(t, p.config(t.TempDir()+"/oauth"))
		stored(t, s, p, 0)
		for n := range 3 {
			want := fmt.Sprintf("SECRET-access-%d", n+1)
			if got, err := s.Token(t.Context()); got != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
		want := "SECRET-refresh-0"
		if rotate {
			want = "SECRET-refresh-3"
		}
		if r, err := s.store.read(); err != nil || r.RefreshToken != want {
			t.Errorf("rotate %v: stored %+v, %v", rotate, r, err)
		}
	}
}

func TestRefreshIsRefused(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(t.TempDir()))
	stored(t, s, p, 0)
	delete(p.valid, "SECRET-refresh-0")
	_, err := s.Token(t.Context())
	var login *LoginError
	if !errors.As(err, &login) || login.Account != "work" || !strings.Contains(err.Error(), "log in again: poplin fetch login work") {
		t.Errorf("got %v", err)
	}
	harmless(t, err)

	for code, again := range map[string]bool{"interaction_required": true, "consent_required": true, "invalid_client": false, "unauthorized_client": false, "x\x1b[2JSECRET": false} {
		p.before = func(w http.ResponseWriter, _ *http.Request) bool { fail(w, code); return true }
		_, err = s.Token(t.Context())
		var refused *RefusedError
		if errors.As(err, &login) != again || errors.As(err, &refused) == again {
			t.Errorf("%q: got %v", code, err)
		}
		if code == "invalid_client" && !strings.Contains(err.Error(), "check oauth_client_id and oauth_client_secret_file (invalid_client, AADSTS70008)") {
			t.Errorf("got %v", err)
		}
		harmless(t, err)
	}
}

func TestNobodyLoggedIn(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(t.TempDir()))
	var login *LoginError
	if _, err := s.Token(t.Context()); !errors.As(err, &login) || !strings.Contains(err.Error(), "nobody has logged in yet: log in again: poplin fetch login work") {
		t.Errorf("got %v", err)
	}
	if entries, _ := os.ReadDir(s.store.folder); len(entries) != 0 {
		t.Errorf("files were made: %v", entries)
	}
}

// A refresh token is sent to the provider and for the client that it came
// from, and otherwise to nobody.
func TestTokenOfAnotherClient(t *testing.T) {
	p := start(t)
	c := p.config(t.TempDir())
	stored(t, newSource(t, c), p, time.Hour)
	for name, change := range map[string]func(*Config){
		"client":   func(c *Config) { c.ClientID = "client-2" },
		"provider": func(c *Config) { c.Endpoints.TokenURL = p.url + "/other" },
	} {
		changed := c
		change(&changed)
		var login *LoginError
		if _, err := newSource(t, changed).Token(t.Context()); !errors.As(err, &login) || len(p.seen) != 0 {
			t.Errorf("another %s: got %v, %d requests", name, err, len(p.seen))
		}
	}
}

// A server may refuse a token that should be good: it was revoked, or the
// clock is wrong.
func TestRenew(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(t.TempDir()))
	stored(t, s, p, time.Hour)
	if got, err := s.Renew(t.Context(), "SECRET-access-0"); got != "SECRET-access-1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	// Another process has renewed it meanwhile: that one will do.
	if got, err := s.Renew(t.Context(), "SECRET-access-0"); got != "SECRET-access-1" || err != nil || p.refreshes != 1 {
		t.Errorf("got %q, %v, %d refreshes", got, err, p.refreshes)
	}
}

func TestLifeIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider()
		p.url, p.life = "https://provider.example", 0
		c := p.config(t.TempDir())
		c.Transport = inMemory{p}
		s := newSource(t, c)
		stored(t, s, p, 0)
		for n, after := range []time.Duration{0, assumed - early - time.Second, 2 * time.Second} {
			time.Sleep(after)
			want := "SECRET-access-1"
			if n == 2 {
				want = "SECRET-access-2"
			}
			if got, err := s.Token(t.Context()); got != want || err != nil {
				t.Errorf("%v later: got %q, %v, want %q", after, got, err, want)
			}
		}
	})
}

func TestGoroutinesRenewOnce(t *testing.T) {
	p := start(t)
	p.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(50 * time.Millisecond); return false }
	c := p.config(t.TempDir())
	s := newSource(t, c)
	stored(t, s, p, 0)
	other := newSource(t, c)
	var wg sync.WaitGroup
	for n := range 10 {
		wg.Go(func() {
			source := s
			if n%2 == 1 {
				source = other
			}
			if got, err := source.Token(t.Context()); got != "SECRET-access-1" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if p.refreshes != 1 {
		t.Errorf("%d refreshes, want 1", p.refreshes)
	}
}

// helperFolder and helperURL are the environment of this program when it runs
// as another process that wants a token.
const (
	helperFolder = "POPLIN_TEST_OAUTH_FOLDER"
	helperURL    = "POPLIN_TEST_OAUTH_URL"
)

func helper() int {
	p := &provider{url: os.Getenv(helperURL)}
	s, err := New(p.config(os.Getenv(helperFolder)))
	if err == nil {
		var token string
		token, err = s.Token(context.Background())
		fmt.Print(token)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestProcessesRenewOnce(t *testing.T) {
	p := start(t)
	p.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(300 * time.Millisecond); return false }
	s := newSource(t, p.config(filepath.Join(t.TempDir(), "oauth")))
	stored(t, s, p, 0)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), helperFolder+"="+s.store.folder, helperURL+"="+p.url)
			if out, err := cmd.CombinedOutput(); string(out) != "SECRET-access-1" || err != nil {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
	wg.Wait()
	if p.refreshes != 1 {
		t.Errorf("%d refreshes, want 1", p.refreshes)
	}
	safeFolder(t, s.store.folder)
}
