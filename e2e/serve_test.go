package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// TestKillInSession: kill -9 in the middle of a session with messages marked
// and one half sent frees the maildrop for the next login and deletes nothing.
func TestKillInSession(t *testing.T) {
	s := startPoplin(t, false)
	letters := corpus()
	s.maildir.fill(t, letters, 0)
	c := connect(t, s.server, overTLS)
	if err := c.Dele(t.Context(), 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	m, err := c.Retr(t.Context(), numberOf(t, letters, "five megabytes"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(m, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	s.process.signal(syscall.SIGKILL)
	s.process.wait(t)
	if _, err := io.Copy(io.Discard, m); err == nil || err == io.EOF {
		t.Errorf("the message cut off by the kill ended in %v, want an error", err)
	}
	s.maildir.holds(t, letters)

	again := start(t, s.command())
	if !again.waitFor(t, s.plain, s.tls) {
		t.Fatalf("the server does not start again:\n%s", again.log)
	}
	c = connect(t, s.server, overTLS)
	stat, err := c.Stat(t.Context())
	if err != nil || stat.Messages != len(letters) {
		t.Errorf("after the restart: %d messages, %v, want %d", stat.Messages, err, len(letters))
	}
	quit(t, c)
}

// TestDrain: SIGTERM lets a RETR that is under way end, then cuts the session
// without deleting what it marked, takes no new ones, and ends with 0.
func TestDrain(t *testing.T) {
	s := startPoplin(t, true)
	letters := corpus()
	s.maildir.fill(t, letters, 0)
	large := numberOf(t, letters, "five megabytes")

	conn, err := net.Dial("tcp", s.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for _, line := range []string{"", "USER " + s.user, "PASS " + s.password, "DELE 1", fmt.Sprintf("RETR %d", large)} {
		if line != "" {
			fmt.Fprintf(conn, "%s\r\n", line)
		}
		if reply, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(reply, "+OK") {
			t.Fatalf("%q: %q, %v\n%s", line, reply, err, s.process.log)
		}
	}
	s.process.signal(syscall.SIGTERM)
	for { // until it listens no more
		probe, err := net.DialTimeout("tcp", s.plain, time.Second)
		if err != nil {
			break
		}
		probe.Close()
		time.Sleep(10 * time.Millisecond)
	}
	rest, err := io.ReadAll(r)
	conn.Close()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading what was under way: %v", err)
	}
	stuffed := bytes.ReplaceAll(letters[large-1].wire, []byte("\r\n."), []byte("\r\n.."))
	if !bytes.HasPrefix(rest, append(stuffed, ".\r\n"...)) {
		t.Errorf("the message under way was cut: got %s", excerpt(rest))
	}
	if code := s.process.wait(t); code != 0 {
		t.Errorf("exit status %d after SIGTERM, want 0\n%s", code, s.process.log)
	}
	s.maildir.holds(t, letters)
}

// TestTwoServers: of two server processes on one Maildir the second gives
// [IN-USE] while the first holds a session, and works after it.
func TestTwoServers(t *testing.T) {
	s := startPoplin(t, false)
	letters := corpus()[:3]
	s.maildir.fill(t, letters, 0)
	second := s
	_, second.plain, second.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		second.config = strings.TrimSuffix(s.config, ".toml") + "2.toml"
		second.configure(t, false, plain, tls)
		return second.command()
	})

	c := connect(t, s.server, overTLS)
	_, err := dial(t, second.server, overSTLS)
	var refused *pop3.Error
	if !errors.As(err, &refused) || refused.Code != pop3.InUse {
		t.Fatalf("login at the second server: %v, want [IN-USE]", err)
	}
	quit(t, c)

	c = connect(t, second.server, overSTLS)
	if n := deleteAll(t, c); n != len(letters) {
		t.Errorf("the second server lists %d messages, want %d", n, len(letters))
	}
	quit(t, c)
	c = connect(t, s.server, overTLS)
	if stat, err := c.Stat(t.Context()); err != nil || stat.Messages != 0 {
		t.Errorf("the first server then lists %d messages, %v, want none", stat.Messages, err)
	}
	quit(t, c)
}

// numberOf gives the message number of the letter with that name.
func numberOf(t *testing.T, letters []letter, name string) int {
	t.Helper()
	for i, l := range letters {
		if l.name == name {
			return i + 1
		}
	}
	t.Fatalf("the corpus has no letter %q", name)
	return 0
}
