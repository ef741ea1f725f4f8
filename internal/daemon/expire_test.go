package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop/maildir"
)

// TestExpireAll: old mail of users goes, that in a maildrop of nobody's name
// stays: a source of users may have said that it does.
func TestExpireAll(t *testing.T) {
	cfg := newConfig(t)
	cfg.Retention.Expire = 24 * time.Hour
	d, l := start(t, cfg)
	files := d.store.(*maildir.Store)
	if err := files.Create(t.Context(), "box1"); err != nil {
		t.Fatal(err)
	}
	old := func(name string) string {
		return filepath.Join(filepath.Dir(cfg.Maildrops.Path), name, "new", "1000000000.M1P1.h")
	}
	for _, name := range []string{"anna", "box1"} {
		if err := os.WriteFile(old(name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Unix(1000000000, 0)
		if err := os.Chtimes(old(name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	(&Expiry{cfg, d.users, files, d.log}).all(t.Context())
	if _, err := os.Stat(old("anna")); !os.IsNotExist(err) {
		t.Errorf("old mail of a user: %v", err)
	}
	if _, err := os.Stat(old("box1")); err != nil {
		t.Errorf("old mail in a maildrop of unknown name: %v", err)
	}
	if !strings.Contains(l.String(), "messages stay, however old") || !strings.Contains(l.String(), "maildrops=1") {
		t.Errorf("the log is %s", l)
	}
}
