package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dovecotStore is a Dovecot that takes mail.
type dovecotStore struct {
	server
	lmtp, imaps string
	socket      string // of LMTP
}

// startDovecotStore starts Dovecot with IMAP and LMTP. Its Sieve script is that
// of docs/howto/ticket.md.
func startDovecotStore(t *testing.T) dovecotStore {
	t.Helper()
	dir := folder(t)
	for _, sub := range []string{"run", "state", "home"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		giveToNobody(t, filepath.Join(dir, sub))
	}
	s := dovecotStore{server: server{user: "bela", password: "pass word", authority: newAuthority(t, dir), maildir: newMaildir(t, filepath.Join(dir, "mail"))},
		socket: filepath.Join(dir, "run", "lmtp")}
	giveToNobody(t, dir, s.authority.key)
	for name, text := range map[string]string{"users": s.user + ":{PLAIN}" + s.password + "\n", "script.sieve": box(t, "ticket.md", "sieve", 0)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	name, group := accountName(t)
	_, s.lmtp, s.imaps = startListening(t, func(lmtp, imaps string) *exec.Cmd {
		config := filepath.Join(dir, "dovecot.conf")
		if err := os.WriteFile(config, []byte(fmt.Sprintf(dovecotStoreConf, dir, name, group, port(lmtp), port(imaps))), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(find(t, "dovecot"), "-F", "-c", config)
		asNobody(cmd)
		return cmd
	})
	return s
}

const dovecotStoreConf = `base_dir = %[1]s/run
state_dir = %[1]s/state
instance_name = poplin-e2e-store
protocols = imap lmtp
listen = 127.0.0.1
log_path = /dev/stderr
default_login_user = %[2]s
default_internal_user = %[2]s
default_internal_group = %[3]s
mail_uid = %[2]s
mail_gid = %[3]s
first_valid_uid = 1
mail_location = maildir:%[1]s/mail
postmaster_address = postmaster@example.org
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
protocol lmtp {
  mail_plugins = $mail_plugins sieve
}
plugin {
  sieve = file:%[1]s/script.sieve
}
service imap-login {
  chroot =
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = %[5]s
    ssl = yes
  }
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
  inet_listener lmtp {
    port = %[4]s
  }
}
service anvil {
  chroot =
}
`

// delivery is an account whose mail goes to one target, and what is to come.
type delivery struct {
	poplinServer
	fetcher
	letters []letter
}

// newDelivery starts a POP3 server with mail, and makes a fetcher with more
// configuration behind its account's.
func newDelivery(t *testing.T, to, more string) delivery {
	t.Helper()
	d := delivery{poplinServer: startPoplin(t, true), letters: throughMTA()}
	d.maildir.fill(t, d.letters, 0)
	d.fetcher = newFetcher(t, d.server, more)
	rewriteFile(t, d.fetcher.config, `"maildir:Mail"`, to)
	return d
}

// killAgain has mail come in and be fetched by runs that are killed, and then
// by one that is not.
func (d *delivery) killAgain(t *testing.T, kills int) {
	t.Helper()
	for range kills {
		var more []letter
		for range 3 {
			more = append(more, lf(fmt.Sprint("number ", len(d.letters)+len(more)), head(fmt.Sprint("number ", len(d.letters)+len(more)))+"\ntext\n"))
		}
		d.maildir.fill(t, more, len(d.letters))
		d.letters = append(d.letters, more...)
		running := start(t, d.fetcher.command())
		select {
		case <-running.done:
		case <-time.After(time.Duration(rand.IntN(150)) * time.Millisecond):
			running.cmd.Process.Kill()
			<-running.done
		}
	}
	// The session of a run that was killed may hold the maildrop for a moment.
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		out, err := d.fetcher.command().CombinedOutput()
		if err == nil {
			break
		}
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 75 || time.Now().After(end) {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if n := len(d.maildir.files(t)); n != 0 {
		t.Errorf("%d messages are left on the server", n)
	}
}

var idLines = regexp.MustCompile(`(?m)^X-Poplin-Id: ([0-9a-f]{32})\r?\n`)

// check compares what came, behind the line with its id, with what was sent,
// and gives how many came again with an id that was there already.
func (d delivery) check(t *testing.T, came [][]byte) (again int) {
	t.Helper()
	want := make(map[string]bool)
	for _, l := range d.letters {
		want[string(kept(l.wire))] = true
	}
	ids := make(map[string]string)
	for _, text := range came {
		at := idLines.FindSubmatchIndex(text)
		if at == nil {
			t.Fatalf("a message without an id: %s", excerpt(text))
		}
		id, body := string(text[at[2]:at[3]]), string(kept(text[at[1]:]))
		before, known := ids[id]
		switch {
		case known && before == body:
			again++
		case known:
			t.Errorf("one id for two messages: %s", id)
		case !want[body]:
			t.Errorf("not sent, or twice with different ids: %s", excerpt([]byte(body)))
		}
		ids[id] = body
		delete(want, body)
	}
	for body := range want {
		t.Errorf("lost: %s", excerpt([]byte(body)))
	}
	return again
}

// TestFetchToIMAP puts mail into a folder of Dovecot's imapd, as
// docs/howto/gmail.md says, with runs that are killed: each message is there
// once.
func TestFetchToIMAP(t *testing.T) {
	t.Parallel()
	s := startDovecotStore(t)
	d := newDelivery(t, `"gmail"`, "")
	_, table, _ := strings.Cut(box(t, "gmail.md", "toml", 0, "imap.gmail.com", "localhost:"+port(s.imaps), "anna@gmail.com", s.user, "INBOX", "Collected"), "[target.gmail]")
	secret := filepath.Join(filepath.Dir(d.fetcher.config), "gmail.password")
	if err := os.WriteFile(secret, []byte(s.password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(d.fetcher.config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "[target.gmail]%ssecurity = \"tls\"\nmake_folder = true\ntls_ca_file = %q\n", table, s.authority.cert)
	f.Close()
	d.killAgain(t, 12)
	if again := d.check(t, (fetcher{mail: filepath.Join(string(s.maildir), ".Collected")}).fetched(t)); again != 0 {
		t.Errorf("%d messages are there twice", again)
	}
}

// TestFetchToLMTP gives mail to Dovecot's lmtpd, whose Sieve script leaves out
// what comes a second time.
func TestFetchToLMTP(t *testing.T) {
	t.Parallel()
	s := startDovecotStore(t)
	d := newDelivery(t, `"lmtp:unix:`+s.socket+`"`, "[target]\nrecipient = \"bela\"\n")
	d.killAgain(t, 12)
	if again := d.check(t, fetcher{mail: string(s.maildir)}.fetched(t)); again != 0 {
		t.Errorf("%d messages are there twice", again)
	}
	rewriteFile(t, d.fetcher.config, "unix:"+s.socket, s.lmtp)
	more := lf("over TCP", head("over TCP")+"\n1\n")
	d.letters = append(d.letters, more)
	d.maildir.fill(t, []letter{more}, len(d.letters))
	run(t, d.fetcher.command())
	d.check(t, fetcher{mail: string(s.maildir)}.fetched(t))
}

// TestFetchToPoplin gives mail to Poplin's own LMTP server.
func TestFetchToPoplin(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(folder(t), "lmtp.sock")
	s := takesMail(t, fmt.Sprintf("[lmtp]\nlisten = [\"unix:%s\"]\n", socket), "carl@example.org")
	d := newDelivery(t, `"lmtp:unix:`+socket+`"`, "[target]\nrecipient = \"carl@example.org\"\n")
	d.killAgain(t, 4)
	s.user = "carl@example.org"
	if again := d.check(t, retrieveEach(t, s)); again > 4 {
		t.Errorf("%d messages are there twice after 4 kills", again)
	}
}

// TestFetchToSMTP gives mail to Postfix, which brings it back by LMTP.
func TestFetchToSMTP(t *testing.T) {
	dir := newPostfix(t)
	queue := filepath.Join(dir, "queue")
	sharedFolder(t, filepath.Join(queue, "poplin"), "postfix")
	s := takesMail(t, box(t, "postfix.md", "toml", 0, "/var/spool/postfix", queue), "carl@example.org")
	p := startPostfix(t, dir, box(t, "postfix.md", "main.cf", 0), "")
	d := newDelivery(t, `"smtp:`+p.addr+`"`, "[target]\nrecipient = \"carl@example.org\"\n")
	d.killAgain(t, 4)
	s.user = "carl@example.org"
	var came [][]byte
	for end := time.Now().Add(patience); len(came) < len(d.letters) && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		came = retrieveEach(t, s)
	}
	for i, l := range d.letters {
		d.letters[i].wire = withoutReturnPath(l) // Postfix takes that line away
	}
	if again := d.check(t, came); again > 4 {
		t.Errorf("%d messages are there twice after 4 kills", again)
	}
}

// TestFetchToCommand gives mail to the script of docs/howto/ticket.md, with
// runs that are killed: a ticket for each message.
func TestFetchToCommand(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	script := filepath.Join(dir, "new-ticket")
	open := fmt.Sprintf("cat >%s/ticket.$$.tmp && mv %[1]s/ticket.$$.tmp %[1]s/$POPLIN_ID.$$.ticket", dir)
	text := box(t, "ticket.md", "sh", 0, "/var/lib/tickets", dir, "open_ticket", open)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	d := newDelivery(t, `"command:`+script+`"`, "")
	d.killAgain(t, 12)
	names, err := filepath.Glob(filepath.Join(dir, "*.ticket"))
	if err != nil {
		t.Fatal(err)
	}
	var came [][]byte
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		came = append(came, content)
	}
	// The script itself may be cut off between the ticket and its note.
	if again := d.check(t, came); again > 12 {
		t.Errorf("%d tickets too many", again)
	}
}
