package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/poplin-mail/poplin/internal/cli/demomail"
)

func TestCanonical(t *testing.T) {
	for stored, want := range map[string]string{
		"":              "",
		"a":             "a\r\n",
		"a\n":           "a\r\n",
		"a\r\n":         "a\r\n",
		"\n":            "\r\n",
		"\n\n.\n":       "\r\n\r\n.\r\n",
		"a\rb\n":        "a\rb\r\n",
		"a\r\nb\nc\r\n": "a\r\nb\r\nc\r\n",
	} {
		if got := string(canonical([]byte(stored))); got != want {
			t.Errorf("canonical(%q) = %q, want %q", stored, got, want)
		}
	}
}

// TestMessagesAreWhatTheySay: the demo shows something only where its
// messages hold what mail servers stumble over.
func TestMessagesAreWhatTheySay(t *testing.T) {
	all := demomail.Messages()
	sum := func(ms []demomail.Message) (s [sha256.Size]byte) {
		h := sha256.New()
		for _, m := range ms {
			h.Write(m.Content)
		}
		h.Sum(s[:0])
		return s
	}
	if sum(all) != sum(demomail.Messages()) {
		t.Error("two calls make different messages")
	}
	find := func(what string, holds func(c []byte) bool) {
		t.Helper()
		for _, m := range all {
			if holds(m.Content) {
				return
			}
		}
		t.Errorf("no message has %s", what)
	}
	find("a dot as the first octet", func(c []byte) bool { return c[0] == '.' })
	find("a line with a dot alone", func(c []byte) bool { return bytes.Contains(c, []byte("\n.\n")) })
	find("no final line end", func(c []byte) bool { return c[len(c)-1] != '\n' })
	find("8-bit text that is not UTF-8", func(c []byte) bool { return bytes.Contains(c, []byte("\xf8")) })
	find("stored CRLF", func(c []byte) bool { return bytes.Contains(c, []byte("\r\n")) })
	find("megabytes", func(c []byte) bool { return len(c) > demomail.LargeSize })
	find("a line of 20,000 octets", func(c []byte) bool {
		for line := range bytes.Lines(c) {
			if len(line) > 20_000 {
				return true
			}
		}
		return false
	})
	find("an empty body", func(c []byte) bool { return bytes.HasSuffix(c, []byte("\n\n")) && bytes.Count(c, []byte("\n\n")) == 1 })
}

// TestDemoTellsDifferences spoils the Maildir behind the demo's back: its
// check must notice, and the exit code say so.
func TestDemoTellsDifferences(t *testing.T) {
	state, err := openDemoState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	for name, spoil := range map[string]func(d *demo, uid string, m delivered){
		"the octets differ":                       func(d *demo, uid string, m delivered) { m.sum[0] ^= 1; d.mail[uid] = m },
		"octets came and":                         func(d *demo, uid string, m delivered) { m.octets++; d.mail[uid] = m },
		"it was delivered as number":              func(d *demo, uid string, m delivered) { m.number += 100; d.mail[uid] = m },
		"nothing was delivered under this unique": func(d *demo, uid string, m delivered) { delete(d.mail, uid); d.mail["other"] = m },
	} {
		var out bytes.Buffer
		cmd := &demoCmd{Once: true, Listen: "127.0.0.1:0", ListenTLS: "127.0.0.1:0"}
		d := &demo{cmd: cmd, state: state, report: newReporter(cmd, &terminal{out: &out})}
		d.report = spoiling{d.report, func() {
			for uid, m := range d.mail {
				if m.number == 3 {
					spoil(d, uid, m)
				}
			}
		}}
		err := d.run(t.Context(), nil)
		if err != errReported || !strings.Contains(out.String(), "DIFFERS") || !strings.Contains(out.String(), name) ||
			!strings.Contains(out.String(), "14 of 15 messages") {
			t.Errorf("%s: error %v\n%s", name, err, &out)
		}
	}
}

// spoiling changes what the demo expects once everything is delivered.
type spoiling struct {
	reporter
	spoil func()
}

func (s spoiling) started(d *demo) { s.spoil() }

func TestDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut bytes.Buffer
	code := Run(ctx, []string{"demo", "--once", "--state", filepath.Join(t.TempDir(), "s")}, strings.NewReader(""), &out, &errOut)
	if code != exitFailure || !strings.Contains(errOut.String(), "interrupted") {
		t.Errorf("exit code %d, %s", code, &errOut)
	}
}

func TestSubject(t *testing.T) {
	for header, want := range map[string]string{
		"Subject: plain\r\n\r\n":                                   "plain",
		"A: b\r\nSUBJECT:  folded\r\n over two\r\n\r\nSubject: no": "folded over two",
		"Subject: =?utf-8?Q?gr=C3=BCn?= \x1b[31m\r\n":              "grün ?[31m",
		"X: y\r\n\r\nSubject: in the body":                         "(no subject)",
	} {
		h := head{[]byte(header)}
		if got := h.subject(); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	var h head
	for range 3 {
		if n, err := h.Write(make([]byte, 5000)); n != 5000 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	if len(h.buf) != 8<<10 {
		t.Errorf("%d octets were kept", len(h.buf))
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 4251904: "4,251,904"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q", n, got)
		}
	}
}

func TestDemoStateIsNotWritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDemoState(filepath.Join(file, "below")); err == nil {
		t.Error("a folder below a file was made")
	}
}

// TestDemoConfigIsReplaced: a demo killed while it writes leaves the earlier
// configuration whole, and a folder that the next one takes.
func TestDemoConfigIsReplaced(t *testing.T) {
	s := &demoState{dir: t.TempDir()}
	for _, name := range []string{"demo.lock", demoNew} { // as of one killed in its first run
		if err := os.WriteFile(s.path(name), []byte("# Ma"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
	if err := s.writeConfig([]byte(demoMark + " one")); err != nil {
		t.Fatal(err)
	}
	before, err := os.Open(s.path("poplin.toml"))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := s.writeConfig([]byte(demoMark + " two")); err != nil {
		t.Fatal(err)
	}
	old, err := io.ReadAll(before)
	if err != nil || string(old) != demoMark+" one" {
		t.Errorf("the file was written over: %q, %v", old, err)
	}
	now, err := os.ReadFile(s.path("poplin.toml"))
	if err != nil || string(now) != demoMark+" two" {
		t.Errorf("the new file: %q, %v", now, err)
	}
}

func TestDemoFollowsNoLink(t *testing.T) {
	s := &demoState{dir: t.TempDir()}
	target := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, s.path("poplin.log")); err != nil {
		t.Fatal(err)
	}
	_, err := s.prepare(t.Context(), "127.0.0.1:0", "127.0.0.1:0")
	if kept, _ := os.ReadFile(target); !errors.Is(err, syscall.ELOOP) || string(kept) != "precious" {
		t.Errorf("error %v, the target of the link holds %q", err, kept)
	}
}

func TestDemoStateOfAnotherUser(t *testing.T) {
	dir := "/" // of root
	if os.Geteuid() == 0 {
		dir = t.TempDir()
		if err := os.Chown(dir, 1, -1); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := openDemoState(dir); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		if err == nil {
			s.Close()
		}
		t.Errorf("error %v", err)
	}
}
