package oauth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Faults of the network and of the provider pass; what is left of a token is
// used meanwhile.
func TestTemporary(t *testing.T) {
	answers := map[string]func(w http.ResponseWriter, r *http.Request){
		"status 500":              func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "SECRET", http.StatusInternalServerError) },
		"status 503":              func(w http.ResponseWriter, _ *http.Request) { fail503(w) },
		"status 429":              func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "SECRET", http.StatusTooManyRequests) },
		"temporarily_unavailable": func(w http.ResponseWriter, _ *http.Request) { fail(w, "temporarily_unavailable") },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"access_token":"SECRET`)
			panic(http.ErrAbortHandler)
		},
		"no JSON":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>SECRET") },
		"no token": func(w http.ResponseWriter, _ *http.Request) { send(w, 200, map[string]string{"id_token": "SECRET"}) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for line := strings.Repeat("SECRET", 1000); ; {
				if _, err := io.WriteString(w, line); err != nil {
					return
				}
			}
		},
	}
	for name, answer := range answers {
		p := start(t)
		p.before = func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true }
		s := newSource(t, p.config(filepath.Join(t.TempDir(), "oauth")))
		stored(t, s, p, -time.Second)
		_, err := s.Token(t.Context())
		var temporary *TemporaryError
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			t.Errorf("%s: got %v", name, err)
		}
		harmless(t, err)
		stored(t, s, p, 30*time.Second)
		if got, err := s.Token(t.Context()); got != "SECRET-access-0" || err != nil {
			t.Errorf("%s, with half a minute left: got %q, %v", name, got, err)
		}
		if got, err := s.Renew(t.Context(), "SECRET-access-0"); err == nil {
			t.Errorf("%s: a refused token was given again: %q", name, got)
		}
		safeFolder(t, s.store.folder)
	}
}

func fail503(w http.ResponseWriter) {
	send(w, http.StatusServiceUnavailable, map[string]string{"error": "invalid_grant"}) // what a status of 5xx says counts for nothing
}

func TestUnreachable(t *testing.T) {
	p := start(t)
	c := p.config(t.TempDir())
	c.Endpoints.TokenURL = "http://127.0.0.1:1/token" // nobody listens there
	s := newSource(t, c)
	stored(t, s, p, 0)
	_, err := s.Token(t.Context())
	var temporary *TemporaryError
	if !errors.As(err, &temporary) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("got %v", err)
	}
	harmless(t, err)
}

// A redirect would take the refresh token to another host.
func TestNoRedirectIsFollowed(t *testing.T) {
	p, thief := start(t), start(t)
	p.before = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, thief.url+"/token", http.StatusTemporaryRedirect)
		return true
	}
	s := newSource(t, p.config(t.TempDir()))
	stored(t, s, p, 0)
	_, err := s.Token(t.Context())
	var refused *RefusedError
	if !errors.As(err, &refused) || len(thief.seen) != 0 {
		t.Errorf("got %v; the other host saw %v", err, thief.seen)
	}
	harmless(t, err)
}

func TestBadTokens(t *testing.T) {
	for name, answer := range map[string]map[string]any{
		"line end": {"access_token": "SECRET\r\nQUIT", "refresh_token": "SECRET"},
		"blank":    {"access_token": "SECRET", "refresh_token": "SECRET\x00"},
		"long":     {"access_token": "SECRET" + strings.Repeat("x", maxToken)},
		"mac":      {"access_token": "SECRET", "token_type": "mac"},
	} {
		p := start(t)
		p.before = func(w http.ResponseWriter, _ *http.Request) bool { send(w, 200, answer); return true }
		s := newSource(t, p.config(t.TempDir()))
		before := stored(t, s, p, 0)
		_, err := s.Token(t.Context())
		var refused *RefusedError
		if !errors.As(err, &refused) {
			t.Errorf("%s: got %v", name, err)
		}
		harmless(t, err)
		if after, err := s.store.read(); err != nil || *after != *before {
			t.Errorf("%s: the stored token changed to %+v, %v", name, after, err)
		}
	}
}

// A provider that hangs is given up; whoever asked may leave sooner, and a
// renewal that the provider has carried out is not lost by that.
func TestPatience(t *testing.T) {
	for name, c := range map[string]struct {
		leave, answer, took time.Duration
		want                string
		err                 error
	}{
		"hangs":            {time.Hour, 2 * time.Hour, requestTime, "SECRET-access-0", nil},
		"leaves and hangs": {time.Second, 2 * time.Hour, time.Second + patience, "SECRET-access-0", context.Canceled},
		"answers late":     {time.Second, 3 * time.Second, 3 * time.Second, "SECRET-access-1", nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newProvider()
			p.url = "https://provider.example"
			p.before = func(_ http.ResponseWriter, r *http.Request) bool {
				select {
				case <-time.After(c.answer):
					return false
				case <-r.Context().Done():
					return true
				}
			}
			config := p.config(t.TempDir())
			config.Transport = inMemory{p}
			s := newSource(t, config)
			stored(t, s, p, 0)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(c.leave, cancel)
			begin := time.Now()
			_, err := s.Token(ctx)
			if took := time.Since(begin); took != c.took {
				t.Errorf("%s: took %v, want %v", name, took, c.took)
			}
			if c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%s: got %v, want %v", name, err, c.err)
			}
			if r, err := s.store.read(); err != nil || r.AccessToken != c.want {
				t.Errorf("%s: stored %+v, %v, want %s", name, r, err, c.want)
			}
			cancel()
			time.Sleep(3 * time.Hour)
		})
	}
}

// What cannot be written is kept in memory: it is the only good token.
func TestDiskFails(t *testing.T) {
	p := start(t)
	p.life = 10 * time.Second
	c := p.config(t.TempDir())
	var log bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := newSource(t, c)
	stored(t, s, p, 0)
	blocked := s.store.path()
	p.before = func(http.ResponseWriter, *http.Request) bool { // the disk fails while the provider renews
		os.Remove(blocked)
		os.MkdirAll(filepath.Join(blocked, "x"), 0o700) // a rename onto it fails
		return false
	}
	for _, want := range []string{"SECRET-access-1", "SECRET-access-2"} {
		if got, err := s.Token(t.Context()); got != want || err != nil {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if shown := log.String(); !strings.Contains(shown, "cannot be stored") || strings.Contains(shown, "SECRET") {
		t.Errorf("logged %q", shown)
	}
	p.before = nil
	p.life = time.Hour
	os.RemoveAll(blocked)
	if got, err := s.Token(t.Context()); got != "SECRET-access-3" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := newSource(t, c).Token(t.Context()); got != "SECRET-access-3" || err != nil {
		t.Errorf("another process: got %q, %v", got, err)
	}
}

// With the disk whole again the token is written even if it need not be
// renewed yet.
func TestDiskRecovers(t *testing.T) {
	p := start(t)
	c := p.config(t.TempDir())
	s := newSource(t, c)
	r := *stored(t, s, p, 0)
	r.AccessToken, r.Expiry, r.Issued = "SECRET-kept", time.Now().Add(time.Hour), time.Now()
	s.keep(&r)
	if got, err := s.Token(t.Context()); got != "SECRET-kept" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := newSource(t, c).Token(t.Context()); got != "SECRET-kept" || err != nil {
		t.Errorf("another process: got %q, %v", got, err)
	}
	// What another process has stored since is newer, and counts.
	s.keep(&r)
	stored(t, newSource(t, c), p, time.Hour)
	if got, err := s.Token(t.Context()); got != "SECRET-access-0" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// Nothing is asked of the provider that there is no place for.
func TestNoPlaceForTheToken(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(t.TempDir()))
	stored(t, s, p, 0)
	if err := os.MkdirAll(filepath.Join(s.store.folder, ".work.json.new", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context()); err == nil || len(p.seen) != 0 {
		t.Errorf("got %v; the provider saw %d requests", err, len(p.seen))
	}
}
