package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// courierRoot is a root folder of the machine as it would be with Courier
// installed, whose paths are fixed: the machine's own below what is unpacked
// beside it, seen by the programs alone.
const courierRoot = `set -e
mount -t tmpfs none "$1"
mkdir -p "$1/upper/usr/lib" "$1/upper/usr/sbin" "$1/upper/usr/bin" "$1/upper/etc" "$1/work" "$1/root"
cd /usr/local/lib/poplin-e2e
cp -a usr/lib/courier* usr/lib/libcourier* usr/lib/*/libcourier* "$1/upper/usr/lib"
cp -a usr/sbin/couriertcpd usr/sbin/makeuserdb "$1/upper/usr/sbin"
cp -a usr/bin/couriertls "$1/upper/usr/bin"
cp -a etc/courier "$1/upper/etc"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for own in /tmp /dev /proc; do mount --bind $own "$1/root$own"; done
echo courier:x:65534:65534::/nonexistent:/usr/sbin/nologin >>"$1/root/etc/passwd"
echo courier:x:65534: >>"$1/root/etc/group"
mkdir -p "$1/root/run/courier/authdaemon"
chmod 755 "$1/root/run/courier/authdaemon"
exec chroot "$1/root" sh "$2"`

// courierStart starts its programs as its own scripts do.
const courierStart = `set -e
cd /etc/courier
sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb"/' authdaemonrc
printf 'bela\tuid=%[2]d|gid=%[3]d|home=%[1]s|mail=%[1]s/mail|systempw=%[4]s\n' >userdb
chmod 600 userdb
makeuserdb
/usr/lib/courier/courier-authlib/authdaemond &
while [ ! -S /run/courier/authdaemon/socket ]; do sleep 0.05; done
set -a
. ./pop3d
. ./pop3d-ssl
TLS_CERTFILE=%[1]s/both.pem TLS_CACHEFILE= TLS_DHPARAMS= TLS_TRUSTCERTS=
tcp="couriertcpd -address=127.0.0.1 -maxprocs=40 -maxperip=40 $TCPDOPTS"
session="/usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir"
POP3_TLS=0 POP3_STARTTLS=YES $tcp %[5]s $session &
POP3_TLS=1 POP3_STARTTLS=NO exec $tcp %[6]s /usr/bin/couriertls -server -tcpd $session
`

// startCourier starts Courier's POP3 server with one account. It has to be
// started by root, in a mount namespace of its own.
func startCourier(t *testing.T) server {
	t.Helper()
	dir := folder(t)
	s := server{user: "bela", password: "pass word", authority: newAuthority(t, dir), maildir: newMaildir(t, filepath.Join(dir, "mail"))}
	var both []byte
	for _, name := range []string{s.authority.key, s.authority.cert} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, content...)
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	hash := command(t, "openssl", "passwd", "-6", "-stdin")
	hash.Stdin = strings.NewReader(s.password)
	hashed := strings.TrimSpace(string(run(t, hash)))
	_, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		script := filepath.Join(dir, "start")
		for name, text := range map[string]string{
			filepath.Join(dir, "both.pem"): string(both),
			script:                         fmt.Sprintf(courierStart, dir, nobody, nogroup, hashed, port(plain), port(tls)),
		} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		giveToNobody(t, filepath.Join(dir, "both.pem")) // its user at STLS
		return exec.Command(find(t, "unshare"), "--mount", "sh", "-c", courierRoot, "sh", root, script)
	})
	return s
}

// courier is Courier 1.0.16: it does not stuff a dot that is the very first octet
// of a message, so that a client takes it off as stuffing, and expects LF in a
// Maildir. It ends a message that has no line end with one that its sizes do not
// count, and deletes behind its answer to QUIT.
var courier = peer{
	start:    startCourier,
	form:     func(wire []byte) []byte { return bytes.TrimPrefix(wire, []byte(".")) },
	own:      asSent,
	top:      asSent,
	lazy:     true,
	sizesOff: []string{"dot at octet 0", "dot without final newline", "no final newline"},
	cannot: map[string]string{
		"dots stored with CRLF":  "it sends CR CR LF",
		"bare LF and CRLF mixed": "it sends CR CR LF",
	},
}

// TestFromCourier: Poplin's client in every transport.
func TestFromCourier(t *testing.T) { testPeer(t, courier) }

// TestFetchCourier fetches from Courier.
func TestFetchCourier(t *testing.T) {
	testFetch(t, courier)
}

// TestFetchCourierKilled: the same as TestFetchKilled, from a server that lets
// several sessions have a maildrop at once, and that numbers mail as it comes.
func TestFetchCourierKilled(t *testing.T) { testFetchKilled(t, startCourier(t), 20) }

// TestFetchCourierUIDs: unique-ids stay as they are when the server is another
// process, and when another program has moved the mail from new/ to cur/ and
// marked it.
func TestFetchCourierUIDs(t *testing.T) {
	s := startCourier(t)
	letters := without(corpus(), courier.cannot)
	s.maildir.fill(t, letters, 0)
	f := newFetcher(t, s, "keep = \"all\"\n")
	run(t, f.command())
	for _, name := range s.maildir.files(t) {
		base, _, _ := strings.Cut(filepath.Base(name), ":")
		if err := os.Rename(name, filepath.Join(string(s.maildir), "cur", base+":2,RS")); err != nil {
			t.Fatal(err)
		}
	}
	out := run(t, f.command("--json"))
	if n := len(f.fetched(t)); n != len(letters) || strings.Contains(string(out), "delivered\",\"uid") {
		t.Errorf("%d messages are here, want %d: %s", n, len(letters), out)
	}
}
