package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3client"
)

// throughMTA are the letters that no MTA has a reason to change.
func throughMTA() []letter {
	var all []letter
	for _, l := range corpus() {
		switch l.name {
		case "plain", "dots at line starts", "a single dot is the body", "8-bit", "empty body", "From_ lines", "folded", "blank lines", "five megabytes", "small 7":
			all = append(all, l)
		}
	}
	return all
}

// takesMail starts `poplin serve` with users and LMTP on a unix socket.
func takesMail(t *testing.T, users ...string) (s poplinServer, socket string) {
	t.Helper()
	s = startPoplin(t, true)
	socket = filepath.Join(s.dir, "lmtp.sock")
	for _, user := range users {
		add := command(t, poplin, "user", "add", "--config", s.config, user)
		add.Stdin = strings.NewReader(s.password + "\n")
		run(t, add)
	}
	s = s.again(t, func(text string) string {
		return known(text + "\n[lmtp]\nlisten = [\"unix:" + socket + "\"]\nsocket_mode = \"0666\"\nmax_message = \"20MiB\"\n")
	}, s.command)
	return s, socket
}

// submit sends letters to an MTA by SMTP, to all of the recipients at once.
func submit(t *testing.T, addr string, letters []letter, to ...string) {
	t.Helper()
	for _, l := range letters {
		if err := smtp.SendMail(addr, nil, "eve@example.com", to, withoutReturnPath(l)); err != nil {
			t.Fatalf("%q: %v", l.name, err)
		}
	}
}

// withoutReturnPath gives a letter as it is submitted: who delivers writes that
// line.
func withoutReturnPath(l letter) []byte {
	_, rest, found := bytes.Cut(l.wire, []byte("Return-Path: <anna@example.org>\r\n"))
	if !found {
		return l.wire
	}
	return rest
}

// arrived waits until a user has as many messages as there are letters, and
// checks that they are those.
func arrived(t *testing.T, s poplinServer, user string, letters []letter) {
	t.Helper()
	s.user = user
	var got map[string][]byte
	for end := time.Now().Add(patience); len(got) != len(letters); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s has %d messages, want %d", user, len(got), len(letters))
		}
		got = retrieveAll(t, s)
	}
	for _, l := range letters {
		want := withoutReturnPath(l)
		at := bytes.Index(want, []byte("Subject: "))
		subject, _, _ := bytes.Cut(want[at:], []byte("\r\n"))
		text := got[string(subject)]
		if !bytes.HasSuffix(text, want) || !bytes.HasPrefix(text, []byte("Return-Path: <eve@example.com>\r\n")) {
			t.Errorf("%q differs:\n got %s\nwant %s", l.name, excerpt(text), excerpt(want))
		}
	}
}

// retrieveAll gives all messages by their subject.
func retrieveAll(t *testing.T, s poplinServer) map[string][]byte {
	t.Helper()
	c := connect(t, s.server, overTLS)
	defer quit(t, c)
	all := make(map[string][]byte)
	for m, err := range c.RetrieveAll(t.Context(), pop3client.RetrieveOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(m)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := bytes.Cut(text, []byte("\r\nSubject: "))
		subject, _, _ := bytes.Cut(rest, []byte("\r\n"))
		key := "Subject: " + string(subject)
		if all[key] != nil {
			t.Errorf("%s has the message twice: %s", s.user, key)
		}
		all[key] = text
	}
	return all
}

const mainCF = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = mx.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
virtual_mailbox_domains = example.org
virtual_transport = lmtp:%[2]s
lmtp_destination_recipient_limit = 50
message_size_limit = 20000000
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
`

// masterCF runs nothing in a chroot, since queue folders of tests have no
// libraries in them.
const masterCF = `%[1]s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix starts an instance of Postfix with a queue of its own, which
// hands mail for example.org to an LMTP server, and gives its SMTP address.
func startPostfix(t *testing.T, nextHop string) (p *process, addr, log string) {
	t.Helper()
	dir := folder(t)
	for _, sub := range []string{"", "queue", "conf"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, command(t, "chown", "postfix", data))
	addr = freeAddr(t)
	for name, text := range map[string]string{"main.cf": fmt.Sprintf(mainCF, dir, nextHop), "master.cf": fmt.Sprintf(masterCF, addr)} {
		if err := os.WriteFile(filepath.Join(dir, "conf", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p = start(t, exec.Command(find(t, "postfix"), "-c", filepath.Join(dir, "conf"), "start-fg"))
	if !p.waitFor(t, addr) {
		text, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("Postfix does not start:\n%s\n%s", p.log, text)
	}
	return p, addr, filepath.Join(dir, "log")
}

// TestPostfix sends mail by SMTP to Postfix, which delivers it by LMTP, and
// retrieves it over POP3S. It is the same mail, for each of its recipients,
// also where the server is away for a time.
func TestPostfix(t *testing.T) {
	s, socket := takesMail(t, "anna@example.org", "carl@example.org")
	_, addr, log := startPostfix(t, "unix:"+socket)
	letters := throughMTA()
	submit(t, addr, letters, "anna@example.org", "carl+tag@example.org", "bela@example.org")
	for _, user := range []string{"anna@example.org", "carl@example.org", "bela"} {
		arrived(t, s, user, letters)
	}

	// The server is away: Postfix keeps the mail and tries again.
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	submit(t, addr, []letter{late()}, "anna@example.org")
	waitFile(t, log, "status=deferred")
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, true, plain, tls)
		s.rewrite(t, func(text string) string {
			return known(text + "\n[lmtp]\nlisten = [\"unix:" + socket + "\"]\nsocket_mode = \"0666\"\n")
		})
		return s.command()
	})
	arrived(t, s, "anna@example.org", append(letters, late()))

	// Nobody has the address: Postfix is told so for good.
	submit(t, addr, letters[:1], "nobody@example.org")
	waitFile(t, log, "550 5.1.1 No such user here")
}

// waitFile waits until a file holds the text.
func waitFile(t *testing.T, path, text string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		content, _ := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not say %q:\n%s", path, text, excerpt(content))
		}
	}
}

// TestLMTPSocket: who may deliver is said by the socket's mode, and a server
// that was killed leaves nothing in the way of the next one.
func TestLMTPSocket(t *testing.T) {
	s, socket := takesMail(t)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket is %v, error %v", info, err)
	}
	s.process.signal(syscall.SIGKILL)
	s.process.wait(t)
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, true, plain, tls)
		s.rewrite(t, func(text string) string { return known(text + "\n[lmtp]\nlisten = [\"unix:" + socket + "\"]\n") })
		return s.command()
	})
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
