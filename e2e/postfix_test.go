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

// takesMail starts `poplin serve` with users and more configuration.
func takesMail(t *testing.T, more string, users ...string) poplinServer {
	t.Helper()
	s := startPoplin(t, true)
	s.add(t, users...)
	return s.again(t, func(text string) string { return known(text) + more }, s.command)
}

// add makes users.
func (s poplinServer) add(t *testing.T, users ...string) {
	t.Helper()
	for _, user := range users {
		add := command(t, poplin, "user", "add", "--config", s.config, user)
		add.Stdin = strings.NewReader(s.password + "\n")
		run(t, add)
	}
}

// restart starts a server that has ended once more, with more configuration.
func (s *poplinServer) restart(t *testing.T, more string) {
	t.Helper()
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, true, plain, tls)
		s.rewrite(t, func(text string) string { return known(text) + more })
		return s.command()
	})
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
	all := make(map[string][]byte)
	for _, text := range retrieveEach(t, s) {
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

// retrieveEach gives all messages.
func retrieveEach(t *testing.T, s poplinServer) (all [][]byte) {
	t.Helper()
	c := connect(t, s.server, overTLS)
	defer quit(t, c)
	for m, err := range c.RetrieveAll(t.Context(), pop3client.RetrieveOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(m)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}

// mainCF is what differs from Postfix's defaults besides what the document
// says. Nothing leaves the machine.
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
default_transport = error:there is no way out
relay_transport = error:there is no way out
message_size_limit = 20000000
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
address_verify_poll_delay = 1s
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
verify unix - - n - 1 verify
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// postfix is a running instance of Postfix, which has a folder of its own.
type postfix struct {
	addr string // of SMTP
	log  string
}

// newPostfix makes the folder of an instance of Postfix, which holds its queue.
func newPostfix(t *testing.T) (dir string) {
	t.Helper()
	dir = folder(t)
	for _, sub := range []string{"queue", "conf", "data"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, command(t, "chown", "postfix", filepath.Join(dir, "data")))
	return dir
}

// startPostfix starts the instance of the folder, with more of main.cf and
// master.cf.
func startPostfix(t *testing.T, dir, main, master string) postfix {
	t.Helper()
	p := postfix{addr: freeAddr(t), log: filepath.Join(dir, "log")}
	for name, text := range map[string]string{"main.cf": fmt.Sprintf(mainCF, dir) + main, "master.cf": fmt.Sprintf(masterCF, p.addr) + master} {
		if err := os.WriteFile(filepath.Join(dir, "conf", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	running := start(t, exec.Command(find(t, "postfix"), "-c", filepath.Join(dir, "conf"), "start-fg"))
	t.Cleanup(func() { // its master would outlive it
		run(t, command(t, "postfix", "-c", filepath.Join(dir, "conf"), "stop"))
		if text, _ := os.ReadFile(p.log); t.Failed() {
			t.Logf("log of Postfix:\n%s", text)
		}
	})
	if !running.waitFor(t, p.addr) {
		text, _ := os.ReadFile(p.log)
		t.Fatalf("Postfix does not start:\n%s\n%s", running.log, text)
	}
	return p
}

// TestPostfix sends mail by SMTP to Postfix, which delivers it by LMTP as
// docs/howto/postfix.md says, and retrieves it over POP3S. It is the same mail,
// for each of its recipients, also where the server is away for a time.
func TestPostfix(t *testing.T) {
	dir := newPostfix(t)
	queue := filepath.Join(dir, "queue")
	sharedFolder(t, filepath.Join(queue, "poplin"), "postfix")
	lmtp := box(t, "postfix.md", "toml", 0, "/var/spool/postfix", queue)
	s := takesMail(t, lmtp, "anna@example.org", "carl@example.org", "jürgen@example.org")
	p := startPostfix(t, dir, box(t, "postfix.md", "main.cf", 0), "")
	letters := append(throughMTA(), lf("UTF-8 header", head("Grüße von Jürgen")+"\nHi\n")) // by SMTPUTF8
	submit(t, p.addr, letters, "anna@example.org", "carl+tag@example.org", "bela-news@example.org", "jürgen@example.org")
	for _, user := range []string{"anna@example.org", "carl@example.org", "bela", "jürgen@example.org"} {
		arrived(t, s, user, letters)
	}

	// The server is away: Postfix keeps the mail and tries again.
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	submit(t, p.addr, []letter{late()}, "anna@example.org")
	waitFile(t, p.log, "status=deferred")
	s.restart(t, lmtp)
	arrived(t, s, "anna@example.org", append(letters, late()))

	// Nobody has the address: Postfix tells the sender so for good.
	err := smtp.SendMail(p.addr, nil, "eve@example.com", []string{"nobody@example.org"}, withoutReturnPath(letters[0]))
	if err == nil || !strings.Contains(err.Error(), "550 5.1.1") || !strings.Contains(err.Error(), "No such user here") {
		t.Errorf("nobody's mail is answered with %v", err)
	}
}

// TestPostfixPipe: Postfix runs `poplin deliver` for each recipient, as
// docs/howto/postfix.md says. It tries again what the exit code says is to be
// tried again, and tells the sender who does not exist.
func TestPostfixPipe(t *testing.T) {
	s := startPoplin(t, true)
	s.add(t, "anna@example.org", "carl@example.org")
	s.password = "pass word"
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	run(t, command(t, "chown", "-R", "nobody:nogroup", s.dir))
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, true, plain, tls)
		s.rewrite(t, func(text string) string { return "user = \"nobody\"\n" + known(text) })
		return s.command()
	})
	dir := newPostfix(t)
	p := startPostfix(t, dir, box(t, "postfix.md", "main.cf", 1), box(t, "postfix.md", "master.cf", 0,
		"user=vmail", "user=nobody", "/usr/local/bin/poplin deliver", poplin+" deliver --config "+s.config))
	letters := throughMTA()
	submit(t, p.addr, letters, "anna@example.org", "carl+tag@example.org")
	for _, user := range []string{"anna@example.org", "carl@example.org"} {
		arrived(t, s, user, letters)
	}

	// The Maildir is away: exit code 75.
	maildrop := filepath.Join(s.dir, "mail", "anna@example.org")
	if err := os.Rename(maildrop, maildrop+".away"); err != nil {
		t.Fatal(err)
	}
	submit(t, p.addr, []letter{late()}, "anna@example.org")
	waitFile(t, p.log, "status=deferred (temporary failure. Command output: poplin: maildir: no Maildir at ")
	if err := os.Rename(maildrop+".away", maildrop); err != nil {
		t.Fatal(err)
	}
	arrived(t, s, "anna@example.org", append(letters, late()))

	// Nobody has the address: exit code 67. The sender is told, in a message
	// without a sender of its own.
	if err := smtp.SendMail(p.addr, nil, "carl@example.org", []string{"nobody@example.org"}, withoutReturnPath(letters[0])); err != nil {
		t.Fatal(err)
	}
	s.user = "carl@example.org"
	var bounce []byte
	for end := time.Now().Add(patience); bounce == nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			text, _ := os.ReadFile(p.log)
			t.Fatalf("there is no bounce:\n%s", excerpt(text))
		}
		bounce = retrieveAll(t, s)["Subject: Undelivered Mail Returned to Sender"]
	}
	if !bytes.HasPrefix(bounce, []byte("Return-Path: <>\r\n")) || !bytes.Contains(bounce, []byte("nobody@example.org: no such user here")) {
		t.Errorf("the bounce is %s", excerpt(bounce))
	}
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
	socket := filepath.Join(folder(t), "lmtp.sock")
	lmtp := "[lmtp]\nlisten = [\"unix:" + socket + "\"]\nsocket_mode = \"0666\"\n"
	s := takesMail(t, lmtp)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket is %v, error %v", info, err)
	}
	s.process.signal(syscall.SIGKILL)
	s.process.wait(t)
	s.restart(t, lmtp)
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
