package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
)

// TestRulesOfSQLite: the sandbox leaves the folder of the database writable,
// however the configuration names it.
func TestRulesOfSQLite(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(filepath.Join(dir, "dsn"), []byte("data/users.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*config.Config){
		func(c *config.Config) { c.Users.SQL.DSN = filepath.Join(data, "users.db") },
		func(c *config.Config) { c.Users.SQL.DSN = "data/users.db" },
		func(c *config.Config) { c.Users.SQL.DSNFile = filepath.Join(dir, "dsn") },
	} {
		cfg := config.Default()
		cfg.File = filepath.Join(dir, "poplin.toml")
		cfg.Users.Source = []string{config.SQL}
		cfg.Users.SQL.Driver = config.SQLite
		change(cfg)
		if r := rules(cfg, "/usr/bin/poplin"); !slices.Contains(r.Write, data) {
			t.Errorf("dsn %q, dsn_file %q: only %q may be written", cfg.Users.SQL.DSN, cfg.Users.SQL.DSNFile, r.Write)
		}
	}
}

// TestServesAsRoot: the warning names Maildirs only where there are any.
func TestServesAsRoot(t *testing.T) {
	for store, want := range map[string]string{config.Maildir: "set user to whom the Maildirs belong", config.Bucket: "set user\""} {
		cfg := config.Default()
		cfg.Maildrops.Store, cfg.Sandbox = store, false
		var l log
		if err := Confine(cfg, "", slog.New(slog.NewTextHandler(&l, nil))); err != nil {
			t.Fatal(err)
		}
		if text := l.String(); strings.Contains(text, want) != (os.Geteuid() == 0) {
			t.Errorf("%s: %s", store, text)
		}
	}
}
