package daemon

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
)

// TestNoMaildirForEverybody: where a source takes every name for a user's, mail
// makes no Maildirs.
func TestNoMaildirForEverybody(t *testing.T) {
	cfg := newConfig(t)
	cfg.Maildrops.Create = true
	cfg.Users.Source = []string{config.File, config.LDAP}
	cfg.Users.LDAP.URL = "ldap://127.0.0.1:1"
	cfg.Users.LDAP.UserDN = "uid={user},dc=example,dc=org"
	cfg.LMTP.Listen = []string{"unix:" + filepath.Join(t.TempDir(), "lmtp")}
	const want = "maildrops.create = true does not go with mail and users.ldap.user_dn"
	if _, err := New(cfg, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("New: %v", err)
	}
	if _, _, err := Agent(cfg, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Agent: %v", err)
	}

	// Without mail it serves, and takes none when it is handed a socket.
	cfg.LMTP.Listen = nil
	d, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := d.intake.serve(l); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a socket is served with %v", err)
	}

	for _, sure := range []func(){
		func() { cfg.Users.LDAP.BindDN = "cn=x" },
		func() { cfg.Users.LDAP.BindDN, cfg.Users.LDAP.NameAttribute = "", "uid" },
		func() { cfg.Users.LDAP.UserDN, cfg.Users.LDAP.NameAttribute = "", "" },
	} {
		if sure(); guesses(cfg) != "" {
			t.Errorf("%s guesses: %+v", guesses(cfg), cfg.Users.LDAP)
		}
	}
	if cfg.Users.Source = []string{config.PAM}; guesses(cfg) == "" {
		t.Error("PAM does not guess")
	}
}
