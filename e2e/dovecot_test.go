package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
)

// startDovecot starts Dovecot's POP3 server with one account. It runs as
// nobody where the test is root's, and needs no root itself.
func startDovecot(t *testing.T) server {
	t.Helper()
	dir := folder(t)
	for _, sub := range []string{"run", "state", "home"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		giveToNobody(t, filepath.Join(dir, sub))
	}
	s := server{user: "bela", password: "pass word", authority: newAuthority(t, dir), maildir: newMaildir(t, filepath.Join(dir, "mail"))}
	giveToNobody(t, dir, s.authority.key)
	if err := os.WriteFile(filepath.Join(dir, "users"), []byte(s.user+":{PLAIN}"+s.password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	name, group := accountName(t)
	_, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		config := filepath.Join(dir, "dovecot.conf")
		text := fmt.Sprintf(dovecotConf, dir, name, group, port(plain), port(tls))
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(find(t, "dovecot"), "-F", "-c", config)
		asNobody(cmd)
		return cmd
	})
	return s
}

// accountName names the user and group that asNobody takes.
func accountName(t *testing.T) (name, group string) {
	t.Helper()
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = nobody, nogroup
	}
	u, err := user.LookupId(fmt.Sprint(uid))
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(fmt.Sprint(gid))
	if err != nil {
		t.Fatal(err)
	}
	return u.Username, g.Name
}

const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/state
instance_name = poplin-e2e
protocols = pop3
listen = 127.0.0.1
log_path = /dev/stderr
default_login_user = %[2]s
default_internal_user = %[2]s
default_internal_group = %[3]s
mail_uid = %[2]s
mail_gid = %[3]s
first_valid_uid = 1
mail_location = maildir:%[1]s/mail
disable_plaintext_auth = no
ssl = yes
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = static
  args = home=%[1]s/home
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = %[4]s
  }
  inet_listener pop3s {
    port = %[5]s
    ssl = yes
  }
}
service anvil {
  chroot =
}
`
