package daemon

import (
	"bufio"
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

// TestLMTPTakesNoHeader: proxy.trusted is for POP3 alone, as its documentation
// says. A header would be a wrong command.
func TestLMTPTakesNoHeader(t *testing.T) {
	cfg := newConfig(t)
	cfg.LMTP.Listen = []string{"127.0.0.1:0"}
	cfg.Proxy.Trusted = []string{"127.0.0.0/8"}
	d, _ := start(t, cfg)
	for _, a := range d.Addrs() {
		if a.Protocol != "lmtp" {
			continue
		}
		c, err := net.Dial("tcp", a.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		in := bufio.NewReader(c)
		for _, want := range []string{"220 ", "501 "} {
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
				t.Errorf("a balancer gets %q, %v, want %s", line, err, want)
			}
			if _, err := c.Write([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 24\r\n")); err != nil {
				t.Error(err)
			}
		}
		return
	}
	t.Errorf("LMTP is not among %v", d.Addrs())
}
