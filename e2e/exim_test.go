package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const eximConf = `primary_hostname = mx.example.org
spool_directory = %[1]s/spool
log_file_path = %[1]s/log-%%s
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[2]s
tls_advertise_hosts =
acl_smtp_rcpt = accept
begin routers
users:
  driver = accept
  domains = example.org
  transport = poplin
begin transports
poplin:
  driver = lmtp
  socket = %[3]s
  batch_max = 50
  user = nobody
begin retry
* * F,1h,1s
`

// eximProgram is Exim beside Postfix, where Debian installs only one of them.
const eximProgram = "/usr/local/lib/poplin-e2e/usr/sbin/exim4"

// TestExim sends mail by SMTP to Exim, which delivers it by LMTP, and retrieves
// it over POP3S.
func TestExim(t *testing.T) {
	s, socket := takesMail(t, "anna@example.org", "carl@example.org")
	dir := folder(t)
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o750); err != nil {
		t.Fatal(err)
	}
	run(t, command(t, "chown", "-R", "Debian-exim", dir))
	addr := freeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "exim.conf")
	if err := os.WriteFile(conf, []byte(fmt.Sprintf(eximConf, dir, port, socket)), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, exec.Command(eximProgram, "-C", conf, "-bdf", "-q1s"))
	if !p.waitFor(t, addr) {
		t.Fatalf("Exim does not start:\n%s", p.log)
	}
	letters := throughMTA()
	submit(t, addr, letters, "anna@example.org", "carl+tag@example.org")
	for _, user := range []string{"anna@example.org", "carl@example.org"} {
		arrived(t, s, user, letters)
	}
	submit(t, addr, letters[:1], "nobody@example.org")
	waitFile(t, filepath.Join(dir, "log-main"), "550 5.1.1")
}
