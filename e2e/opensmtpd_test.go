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

// beside is a root folder of the machine as it would be with OpenSMTPD
// installed, whose paths are fixed: the machine's own below what is unpacked
// beside it, seen by the program alone.
const beside = `set -e
mount -t tmpfs none "$1"
mkdir -p "$1/upper/usr" "$1/work" "$1/root"
cp -a /usr/local/lib/poplin-e2e/usr/libexec "$1/upper/usr"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for own in /tmp /dev /proc; do mount --bind $own "$1/root$own"; done
mkdir -p "$1/root/var/lib/opensmtpd/empty" "$1/root/var/spool/smtpd"
chmod 711 "$1/root/var/spool/smtpd"
exec chroot "$1/root" /usr/local/lib/poplin-e2e/usr/sbin/smtpd -d -f "$2"`

// TestOpenSMTPD sends mail by SMTP to OpenSMTPD, which delivers it by LMTP as
// docs/howto/opensmtpd.md says, and retrieves it over POP3S.
func TestOpenSMTPD(t *testing.T) {
	dir := folder(t)
	socket := filepath.Join(dir, "run")
	if err := os.Mkdir(socket, 0o700); err != nil {
		t.Fatal(err)
	}
	s := startPoplin(t, true)
	s.add(t, "anna@example.org", "carl@example.org")
	run(t, command(t, "chown", "-R", "nobody:nogroup", s.dir, socket))
	s = s.again(t, func(text string) string {
		return "user = \"nobody\"\n" + known(text) + box(t, "opensmtpd.md", "toml", 0, "/run/poplin", socket, "vmail", "nogroup")
	}, s.command)

	addr := freeAddr(t)
	addresses, conf := filepath.Join(dir, "addresses"), filepath.Join(dir, "smtpd.conf")
	for name, text := range map[string]string{
		addresses: box(t, "opensmtpd.md", "addresses", 0, "vmail", "nobody"),
		conf: fmt.Sprintf("listen on 127.0.0.1 port %s\n", port(addr)) +
			box(t, "opensmtpd.md", "smtpd.conf", 0, "/run/poplin", socket, "/etc/mail/poplin", addresses),
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	p := start(t, exec.Command(find(t, "unshare"), "--mount", "sh", "-c", beside, "sh", root, conf))
	if !p.waitFor(t, addr) {
		t.Fatalf("OpenSMTPD does not start:\n%s", p.log)
	}
	letters := throughMTA()
	submit(t, addr, letters, "anna@example.org", "carl+tag@example.org")
	for _, user := range []string{"anna@example.org", "carl@example.org"} {
		arrived(t, s, user, letters)
	}
	err := smtp.SendMail(addr, nil, "eve@example.com", []string{"nobody@example.org"}, withoutReturnPath(letters[0]))
	if err == nil || !strings.HasPrefix(err.Error(), "524 ") {
		t.Errorf("nobody's mail is answered with %v", err)
	}
}
