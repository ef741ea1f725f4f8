package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fetcher is a configuration of `poplin fetch`, and where its mail goes.
type fetcher struct {
	config string
	mail   string
}

// newFetcher makes an account that fetches from a server over TLS.
func newFetcher(t *testing.T, s server, more string) fetcher {
	t.Helper()
	dir := folder(t)
	f := fetcher{filepath.Join(dir, "poplin.toml"), filepath.Join(dir, "Mail")}
	text := fmt.Sprintf("state = \"state\"\n[fetch.work]\nserver = \"localhost:%s\"\ntls_ca_file = %q\nuser = %q\npassword = %q\nto = \"maildir:Mail\"\n%s",
		port(s.tls), s.authority.cert, s.user, s.password, more)
	if err := os.WriteFile(f.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fetcher) command(args ...string) *exec.Cmd {
	return exec.Command(poplin, append([]string{"fetch", "--config", f.config}, args...)...)
}

// fetched gives what is in the Maildir.
func (f fetcher) fetched(t *testing.T) (all [][]byte) {
	t.Helper()
	for _, sub := range []string{"new", "cur"} {
		names, err := filepath.Glob(filepath.Join(f.mail, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, content)
		}
	}
	return all
}

// TestFetch fetches from Poplin.
func TestFetch(t *testing.T) {
	testFetch(t, peer{start: func(t *testing.T) server { return startPoplin(t, true).server }, own: asSent, form: asSent})
}

// TestFetchDovecot fetches from Dovecot.
func TestFetchDovecot(t *testing.T) {
	testFetch(t, peer{start: startDovecot, own: asSent, form: func(wire []byte) []byte { return bytes.TrimPrefix(wire, []byte(".")) }})
}

// TestFetchMailutils fetches from GNU Mailutils.
func TestFetchMailutils(t *testing.T) {
	testFetch(t, peer{start: startMailutils, own: withoutXUIDL, form: asSent, cannot: map[string]string{
		"dots stored with CRLF": "see TestFromMailutils", "bare LF and CRLF mixed": "too", "header only": "too", "body without header": "too"}})
}

// testFetch fetches from a server: all of it, as it is, once, and then deletes
// it there.
func testFetch(t *testing.T, p peer) {
	t.Parallel()
	s := p.start(t)
	letters := without(corpus(), p.cannot)
	s.maildir.fill(t, letters, 0)
	f := newFetcher(t, s, "keep = \"all\"\n")
	run(t, f.command())
	got := f.fetched(t)
	if len(got) != len(letters) {
		t.Fatalf("%d messages came, want %d", len(got), len(letters))
	}
	want := make(map[string]int)
	for _, l := range letters {
		want[string(kept(p.form(l.wire)))]++
	}
	for _, text := range got {
		wire := p.own(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
		if want[string(kept(wire))]--; want[string(kept(wire))] < 0 {
			t.Errorf("not on the server: %s", excerpt(text))
		}
	}
	s.maildir.fill(t, []letter{late()}, len(letters))
	run(t, f.command())
	run(t, f.command())
	if n := len(f.fetched(t)); n != len(letters)+1 {
		t.Errorf("%d messages are here after one more came, want %d", n, len(letters)+1)
	}
	rewriteFile(t, f.config, `keep = "all"`, `keep = "none"`)
	run(t, f.command())
	p.awaitEmpty(t, s)
	if n := len(s.maildir.files(t)); n != 0 || len(f.fetched(t)) != len(letters)+1 {
		t.Errorf("%d messages are on the server, and %d here", n, len(f.fetched(t)))
	}
}

// kept gives a message as a Maildir keeps it: with LF.
func kept(wire []byte) []byte {
	return bytes.TrimSuffix(bytes.ReplaceAll(wire, []byte("\r\n"), []byte("\n")), []byte("\n"))
}

func rewriteFile(t *testing.T, path, from, to string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(content, []byte(from), []byte(to), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFetchKilled: `poplin fetch` is killed again and again while it fetches
// and deletes, as mail comes in: each message is here once in the end, whole.
func TestFetchKilled(t *testing.T) { testFetchKilled(t, startPoplin(t, true).server, 60) }

func testFetchKilled(t *testing.T, s server, most int) {
	f := newFetcher(t, s, "")
	numbers := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	sent := 0
	for kills := 0; kills < most; kills++ {
		for range 10 {
			text := fmt.Sprintf("Subject: %d\n\n%s", sent, strings.Repeat("line\n", numbers.IntN(5000)))
			name := fmt.Sprintf("%010d.M1.host", 1_700_000_000+sent)
			file := filepath.Join(string(s.maildir), "tmp", name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			giveToNobody(t, file)
			if err := os.Rename(file, filepath.Join(string(s.maildir), "new", name)); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		cmd := f.command()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(5+numbers.IntN(120)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	for end := time.Now().Add(patience); len(s.maildir.files(t)) > 0; {
		if out, err := f.command().CombinedOutput(); err != nil && time.Now().After(end) { // the session of the last one killed may not be over
			t.Fatalf("%v: %s", err, out)
		}
	}
	count := make(map[string]int)
	for _, text := range f.fetched(t) {
		subject, body, _ := strings.Cut(string(text), "\n\n")
		count[subject]++
		if strings.Trim(strings.ReplaceAll(body, "line\n", ""), "") != "" {
			t.Errorf("%s is torn", subject)
		}
	}
	for i := range sent {
		if n := count[fmt.Sprintf("Subject: %d", i)]; n != 1 {
			t.Errorf("message %d is here %d times", i, n)
		}
	}
	t.Logf("%d kills, %d messages", most, sent)
}

// TestFetchFromSilence: a server that accepts and says nothing does not hold
// a run for ever, and costs no more than the time-out.
func TestFetchFromSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := startPoplin(t, true).server
	s.tls = l.Addr().String()
	f := newFetcher(t, s, "timeout = \"1s\"\n")
	cmd := f.command()
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 75 || !bytes.Contains(out, []byte("poplin: work: ")) {
		t.Errorf("exit code %d, and it says %s", cmd.ProcessState.ExitCode(), out)
	}
}
