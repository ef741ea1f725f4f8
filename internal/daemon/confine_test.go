package daemon

import (
	"os"
	"path/filepath"
	"slices"
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
