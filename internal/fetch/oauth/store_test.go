package oauth

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/credential"
)

func TestDamagedFile(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(t.TempDir()))
	stored(t, s, p, time.Hour)
	whole, err := os.ReadFile(s.store.path())
	if err != nil {
		t.Fatal(err)
	}
	damaged := [][]byte{nil, []byte("SECRET"), []byte("{}"), []byte(`{"version":1}`), bytes.Replace(whole, []byte(`"version": 1`), []byte(`"version": 2`), 1),
		bytes.Replace(whole, []byte("SECRET-access-0"), []byte(`SECRET\r\nQUIT`), 1), bytes.Repeat([]byte("SECRET"), maxRecord)}
	for cut := range len(whole) - 2 { // without its last brace and line end it is damaged
		damaged = append(damaged, whole[:cut])
	}
	for _, data := range damaged {
		if err := os.WriteFile(s.store.path(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Token(t.Context())
		var login *LoginError
		if !errors.As(err, &login) {
			t.Fatalf("%.100q: got %v", data, err)
		}
		harmless(t, err)
	}
}

func TestUnsafeModes(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(filepath.Join(t.TempDir(), "oauth")))
	stored(t, s, p, 0)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602} {
		os.Chmod(s.store.path(), mode)
		if _, err := s.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "chmod 600 "+s.store.path()) {
			t.Errorf("mode %o: got %v", mode, err)
		}
	}
	os.Chmod(s.store.path(), 0o600)
	os.Chmod(s.store.folder, 0o707)
	if _, err := s.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "chmod 700 "+s.store.folder) || len(p.seen) != 0 {
		t.Errorf("got %v, %d requests", err, len(p.seen))
	}
	os.Chmod(s.store.folder, 0o755)
	if got, err := s.Token(t.Context()); got != "SECRET-access-1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	target := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(s.store.path(), target); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, s.store.path()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Token(t.Context()); err == nil {
		t.Errorf("a link was followed: %q", got)
	}
}

// What a killed process has left is no token, and goes.
func TestLeftovers(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(filepath.Join(t.TempDir(), "oauth")))
	stored(t, s, p, 0)
	left := filepath.Join(s.store.folder, ".work.json.new")
	if err := os.WriteFile(left, []byte("SECRET"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Token(t.Context()); got != "SECRET-access-1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	safeFolder(t, s.store.folder)
}

// An account's name is no path.
func TestNames(t *testing.T) {
	p := start(t)
	folder := filepath.Join(t.TempDir(), "a", "oauth")
	names := []string{"work", "..", ".", "../x", "/etc/passwd", "a b", "é", "x.json", "a\x00b", "%2e%2e"}
	for _, name := range names {
		c := p.config(folder)
		c.Account = name
		s := newSource(t, c)
		stored(t, s, p, time.Hour)
		if got := filepath.Dir(s.store.path()); got != folder {
			t.Errorf("%q is stored in %s", name, got)
		}
	}
	if files, _ := filepath.Glob(folder + "/*.json"); len(files) != len(names) {
		t.Errorf("%d files for %d accounts: %q", len(files), len(names), files)
	}
	above, _ := os.ReadDir(filepath.Dir(folder))
	if len(above) != 1 {
		t.Errorf("files were made above the folder: %v", above)
	}
	for _, name := range []string{"", strings.Repeat("x", 201)} {
		c := p.config(folder)
		c.Account = name
		if _, err := New(c); err == nil {
			t.Errorf("%.10q is taken for a name", name)
		}
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	p := start(t)
	s := newSource(t, p.config(t.TempDir()))
	stored(t, s, p, 0)
	unlock, err := s.store.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || len(p.seen) != 0 {
		t.Errorf("got %v, %d requests", err, len(p.seen))
	}
	other := p.config(s.store.folder)
	other.Account = "home"
	if unlock, err := newSource(t, other).store.lock(t.Context()); err != nil {
		t.Errorf("another account: %v", err)
	} else {
		unlock()
	}
	unlock()
	if got, err := s.Token(t.Context()); got != "SECRET-access-1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestForget(t *testing.T) {
	p := start(t)
	c := p.config(t.TempDir())
	s := newSource(t, c)
	if err := s.Forget(t.Context()); err != nil || len(p.revoked) != 0 {
		t.Errorf("with nothing stored: %v, revoked %q", err, p.revoked)
	}
	stored(t, s, p, time.Hour)
	if err := s.Forget(t.Context()); err != nil || len(p.revoked) != 1 || p.revoked[0] != "SECRET-refresh-0" {
		t.Errorf("%v, revoked %q", err, p.revoked)
	}
	var login *LoginError
	if _, err := s.Token(t.Context()); !errors.As(err, &login) {
		t.Errorf("got %v", err)
	}

	r := *stored(t, s, p, time.Hour)
	r.RefreshToken, r.Issued = "SECRET-kept", time.Now()
	s.keep(&r) // the disk is full
	if err := s.Forget(t.Context()); err != nil || p.revoked[len(p.revoked)-1] != "SECRET-kept" {
		t.Errorf("%v, revoked %q", err, p.revoked)
	}
	if _, err := s.Token(t.Context()); !errors.As(err, &login) {
		t.Errorf("got %v", err)
	}
	p.revoked = p.revoked[:1]

	stored(t, s, p, time.Hour)
	p.before = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "SECRET", http.StatusServiceUnavailable)
		return true
	}
	err := s.Forget(t.Context())
	if err == nil || !strings.Contains(err.Error(), "deleted here, but the provider could not be told") || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
	harmless(t, err)
	if _, err := s.store.read(); !errors.Is(err, errNone) {
		t.Errorf("still stored: %v", err)
	}

	p.before = nil
	for name, change := range map[string]func(*Config){
		"no endpoint":      func(c *Config) { c.Endpoints.RevokeURL = "" },
		"another provider": func(c *Config) { c.Endpoints.TokenURL = p.url + "/other" },
	} {
		stored(t, s, p, time.Hour)
		changed := c
		change(&changed)
		if err := newSource(t, changed).Forget(t.Context()); err != nil || len(p.revoked) != 1 {
			t.Errorf("%s: %v, revoked %q", name, err, p.revoked)
		}
		if _, err := s.store.read(); !errors.Is(err, errNone) {
			t.Errorf("%s: still stored: %v", name, err)
		}
	}
	if err := os.WriteFile(s.store.path(), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.store.path()); err == nil {
		t.Error("a damaged file stays")
	}
}

func TestNew(t *testing.T) {
	p := start(t)
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no client id":               {func(c *Config) { c.ClientID = "" }, "docs/howto/oauth.md"},
		"no folder":                  {func(c *Config) { c.Folder = "" }, "no folder"},
		"no token URL":               {func(c *Config) { c.Endpoints.TokenURL = "" }, "https://"},
		"clear text":                 {func(c *Config) { c.Endpoints.TokenURL = "http://provider.example/token" }, "https://"},
		"clear text for the browser": {func(c *Config) { c.Endpoints.AuthURL = "http://provider.example/" }, "https://"},
		"clear text for devices":     {func(c *Config) { c.Endpoints.DeviceURL = "http://127.0.0.1.example/" }, "https://"},
		"clear text to revoke":       {func(c *Config) { c.Endpoints.RevokeURL = "http://localhost.example/" }, "https://"},
		"a name and a password":      {func(c *Config) { c.Endpoints.TokenURL = "https://SECRET:SECRET@provider.example/" }, "https://"},
		"no URL":                     {func(c *Config) { c.Endpoints.TokenURL = "provider.example/token" }, "https://"},
		"redirect elsewhere":         {func(c *Config) { c.Endpoints.Redirect = "provider.example" }, "127.0.0.1 or localhost"},
	} {
		config := p.config(t.TempDir())
		c.change(&config)
		_, err := New(config)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
		harmless(t, err)
	}
}

// Everything that a login needs is found out before a person begins.
func TestLoginFindsFaultsFirst(t *testing.T) {
	p := start(t)
	c := p.config(t.TempDir())
	c.ClientSecret = credential.File(filepath.Join(t.TempDir(), "none"))
	show := func(string) { t.Error("shown") }
	if err := newSource(t, c).LoginBrowser(t.Context(), show); !errors.Is(err, credential.ErrMissing) {
		t.Errorf("got %v", err)
	}
	c = p.config(filepath.Join(os.DevNull, "oauth"))
	if err := newSource(t, c).LoginBrowser(t.Context(), show); err == nil {
		t.Error("no error without a place for tokens")
	}
	if err := newSource(t, c).LoginDevice(t.Context(), func(Prompt) { t.Error("shown") }); err == nil || len(p.seen) != 0 {
		t.Errorf("got %v, %d requests", err, len(p.seen))
	}
}

func TestPrinted(t *testing.T) {
	tokens := Printed(credential.Command("echo SECRET-token; echo more", credential.CommandOptions{}))
	if got, err := tokens.Token(t.Context()); got != "SECRET-token" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"version":1,"access_token":"x","expiry":"2026-11-24T00:00:00Z"}`, `{"version":1,"access_token":"x\n"}`, `{"version":1,"access_token":"x","refresh_token":"\u00e9"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if (r == nil) == (err == nil) || r != nil && (r.AccessToken == "" || strings.ContainsAny(r.AccessToken+r.RefreshToken, "\r\n\x00")) {
			t.Errorf("%q gave %+v, %v", data, r, err)
		}
	})
}
