package e2e

import (
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// eximConf holds the boxes of docs/howto/exim.md. The program is not
// set-user-id here, so that it delivers as itself.
const eximConf = `exim_path = /usr/local/lib/poplin-e2e/usr/sbin/exim4
primary_hostname = mx.example.org
spool_directory = %[1]s/spool
log_file_path = %[1]s/log-%%s
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[2]s
tls_advertise_hosts =
deliver_drop_privilege = true
acl_smtp_rcpt = rcpt
begin acl
rcpt:
%[3]s
  accept
begin routers
%[4]s
begin transports
%[5]s
begin retry
* * F,1h,1s
`

// eximProgram is Exim beside Postfix, where Debian installs only one of them.
const eximProgram = "/usr/local/lib/poplin-e2e/usr/sbin/exim4"

// startExim starts Exim with a folder of its own and gives its SMTP address.
func startExim(t *testing.T, acl, router, transport string) (addr, log string) {
	t.Helper()
	dir := folder(t)
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o750); err != nil {
		t.Fatal(err)
	}
	addr = freeAddr(t)
	conf := filepath.Join(dir, "exim.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, eximConf, dir, port(addr), acl, router, transport), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, command(t, "chown", "-R", "Debian-exim:Debian-exim", filepath.Join(dir, "spool"), dir))
	run(t, command(t, "chown", "root", conf)) // Exim trusts nobody else's
	p := start(t, exec.Command(eximProgram, "-C", conf, "-bdf", "-q1s"))
	if !p.waitFor(t, addr) {
		t.Fatalf("Exim does not start:\n%s", p.log)
	}
	return addr, filepath.Join(dir, "log-main")
}

// TestExim sends mail by SMTP to Exim, which delivers it by LMTP over TCP as
// docs/howto/exim.md says, and retrieves it over POP3S.
func TestExim(t *testing.T) {
	lmtp := freeAddr(t)
	s := takesMail(t, box(t, "exim.md", "toml", 0, "127.0.0.1:24", lmtp), "anna@example.org", "carl@example.org")
	addr, log := startExim(t, box(t, "exim.md", "acl", 0), box(t, "exim.md", "router", 0),
		box(t, "exim.md", "transport", 0, "port = 24", "port = "+port(lmtp)))
	letters := throughMTA()
	submit(t, addr, letters, "anna@example.org", "carl+tag@example.org")
	for _, user := range []string{"anna@example.org", "carl@example.org"} {
		arrived(t, s, user, letters)
	}
	err := smtp.SendMail(addr, nil, "eve@example.com", []string{"nobody@example.org"}, withoutReturnPath(letters[0]))
	if err == nil || !strings.HasPrefix(err.Error(), "550 ") {
		t.Errorf("nobody's mail is answered with %v", err)
	}
	waitFile(t, log, "550 5.1.1 No such user here")
}

// TestEximSocket is TestExim by the socket, where Exim learns only behind the
// message that nobody has the address.
func TestEximSocket(t *testing.T) {
	run := filepath.Join(folder(t), "poplin")
	sharedFolder(t, run, "Debian-exim")
	s := takesMail(t, box(t, "exim.md", "toml", 1, "/run/poplin", run), "anna@example.org", "carl@example.org")
	addr, log := startExim(t, "", box(t, "exim.md", "router", 1), box(t, "exim.md", "transport", 1, "/run/poplin", run))
	letters := throughMTA()
	submit(t, addr, letters, "anna@example.org", "carl+tag@example.org")
	for _, user := range []string{"anna@example.org", "carl@example.org"} {
		arrived(t, s, user, letters)
	}
	if err := smtp.SendMail(addr, nil, "anna@example.org", []string{"nobody@example.org"}, withoutReturnPath(letters[0])); err != nil {
		t.Fatal(err)
	}
	waitFile(t, log, "550 5.1.1 No such user here")
}
