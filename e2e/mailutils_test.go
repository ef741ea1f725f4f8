package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startMailutils starts GNU Mailutils' pop3d with one account. It has to be
// started by root: it takes the group "mail", and then the user that its own
// passwd file of the domain names.
func startMailutils(t *testing.T) server {
	t.Helper()
	dir := folder(t)
	s := server{user: "bela@example.org", password: "pass word", authority: newAuthority(t, dir), maildir: newMaildir(t, filepath.Join(dir, "INBOX"))}
	for name, mode := range map[string]os.FileMode{"domains": 0o755, "lock": 0o777} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	hash := command(t, "openssl", "passwd", "-6", "-stdin")
	hash.Stdin = strings.NewReader(s.password)
	account := fmt.Sprintf("bela:%s:%d:%d:Bela:%s:/bin/sh\n", strings.TrimSpace(string(run(t, hash))), nobody, nogroup, dir)
	if err := os.WriteFile(filepath.Join(dir, "domains", "example.org"), []byte(account), 0o600); err != nil {
		t.Fatal(err)
	}
	_, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		config := filepath.Join(dir, "pop3d.conf")
		if err := os.WriteFile(config, fmt.Appendf(nil, mailutilsConf, dir, plain, tls), 0o644); err != nil {
			t.Fatal(err)
		}
		return exec.Command(find(t, "pop3d"), "--no-site-config", "--config-file", config)
	})
	return s
}

const mailutilsConf = `mode daemon;
foreground yes;
mandatory-locking { enable yes; lock-directory "%[1]s/lock"; };
auth { authentication generic; authorization virtdomain; };
virtdomain { passwd-dir "%[1]s/domains"; };
mailbox { mailbox-type maildir; };
logging { syslog no; };
tcp-wrappers { enable no; };
tls { ssl-certificate-file "%[1]s/cert.pem"; ssl-key-file "%[1]s/key.pem"; };
server %[2]s { tls-mode ondemand; };
server %[3]s { tls-mode connection; };
`
