package cli

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/console"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/maildrop/maildir"
	"github.com/poplin-mail/poplin/pop3client"
)

// serving runs a daemon with the users anna, who has two messages, and bert.
func serving(t *testing.T) (file, addr string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "poplin.toml")
	for name, text := range map[string]string{
		"poplin.toml": "state = \"s\"\n[pop3]\nlisten = [\"127.0.0.1:0\"]\nrequire_tls = false\n[pop3s]\nlisten = []\n[console]\nlisten = []\n[maildrops]\npath = \"mail/{user}\"\ncreate = true\n",
		"users":       "anna:{PLAIN}x\nbert:{PLAIN}x\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	store, err := maildir.New(cfg.MaildirOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for range 2 {
		if err := store.Create(t.Context(), "anna"); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Deliver(t.Context(), "anna", strings.NewReader("Subject: x\n\nx\n")); err != nil {
			t.Fatal(err)
		}
	}
	d, err := daemon.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return file, d.Addrs()[0].Addr.String()
}

func loggedIn(t *testing.T, addr, user string) *pop3client.Client {
	t.Helper()
	c, err := pop3client.DialInsecure(t.Context(), addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort() })
	if err := c.Login(t.Context(), user, "x"); err != nil {
		t.Fatal(err)
	}
	return c
}

// says runs poplin and gives its standard output.
func says(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	if got := Run(t.Context(), args, strings.NewReader(""), &out, &errs); got != code {
		t.Errorf("poplin %s: exit code %d, want %d; %s", strings.Join(args, " "), got, code, &errs)
	}
	return out.String()
}

func TestWho(t *testing.T) {
	file, addr := serving(t)
	runs(t, 0, "nobody is connected", "who", "--config", file)
	if got := says(t, 0, "who", "--config", file, "--json"); got != "[]\n" {
		t.Errorf("nobody: %q", got)
	}
	loggedIn(t, addr, "anna")
	loggedIn(t, addr, "bert")
	got := says(t, 0, "who", "--config", file)
	for i, pattern := range []string{
		`^USER  ADDRESS    TLS  MECHANISM +DEVICE  STATE        SINCE     IDLE +MESSAGES  SENT  +SESSION$`,
		`^anna  127.0.0.1  no   [A-Z0-9-]+ +-       TRANSACTION  \d\d:\d\d:\d\d  \d+s +2 +\d+ +[A-Z0-9]{12}$`,
		`^bert  127.0.0.1  no   [A-Z0-9-]+ +-       TRANSACTION  \d\d:\d\d:\d\d  \d+s +0 +\d+ +[A-Z0-9]{12}$`,
	} {
		if line := strings.Split(got, "\n")[i]; !regexp.MustCompile(pattern).MatchString(line) {
			t.Errorf("line %q does not match %s", line, pattern)
		}
	}
	if got := says(t, 0, "who", "--config", file, "ANNA"); !strings.Contains(got, "anna") || strings.Contains(got, "bert") {
		t.Errorf("only anna: %q", got)
	}
	var sessions []console.Session
	if err := json.Unmarshal([]byte(says(t, 0, "who", "--config", file, "bert", "--json")), &sessions); err != nil || len(sessions) != 1 || sessions[0].User != "bert" {
		t.Errorf("%+v, %v", sessions, err)
	}
}

func TestKick(t *testing.T) {
	file, addr := serving(t)
	runs(t, 2, "name a user, or give --session or --rip", "kick", "--config", file)
	runs(t, 2, "--rip: \"x\" is not an IP address", "kick", "--config", file, "--rip", "x")
	runs(t, 1, "sessions cut: 0\n", "kick", "--config", file, "anna")
	anna, bert := loggedIn(t, addr, "anna"), loggedIn(t, addr, "bert")
	if err := anna.Dele(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	runs(t, 1, "sessions cut: 0\n", "kick", "--config", file, "--session", "none")
	runs(t, 0, "sessions cut: 1\n", "kick", "--config", file, "anna")
	if err := anna.Noop(t.Context()); err == nil {
		t.Error("the session goes on")
	}
	if err := bert.Noop(t.Context()); err != nil {
		t.Errorf("another session: %v", err)
	}
	runs(t, 0, "{\n  \"kicked\": 1\n}\n", "kick", "--config", file, "bert", "--rip", "127.0.0.1", "--json")
	for range 1000 { // until the maildrop is free
		if says(t, 0, "who", "--config", file) == "" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if stat, err := loggedIn(t, addr, "anna").Stat(t.Context()); err != nil || stat.Messages != 2 {
		t.Errorf("after it %d messages are left, %v", stat.Messages, err)
	}
}

func TestWhoWithoutServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "poplin.toml")
	runs(t, 1, "there is no configuration file", "who", "--config", file)
	runs(t, 1, "there is no configuration file", "kick", "--config", file, "anna")
	if err := os.WriteFile(file, []byte("state = \"s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, 3, "no server is running with the state folder "+filepath.Join(filepath.Dir(file), "s")+": `poplin serve` starts one", "who", "--config", file)
	runs(t, 3, "no server is running", "kick", "--config", file, "anna")
	if err := os.MkdirAll(filepath.Join(filepath.Dir(file), "s"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "s", "run"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, 1, "not a directory", "who", "--config", file)
}

func TestWhoCells(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.Local)
	got := row(console.Session{User: "a\x1b[2Jb\u202e", RIP: "::1", TLS: true, State: "TRANSACTION", Messages: 12345, OctetsOut: 1000000,
		Started: now.Add(-24 * time.Hour), LastCommand: now.Add(-90 * time.Second), Session: "X"}, now)
	want := []string{"a?[2Jb?", "::1", "yes", "-", "-", "TRANSACTION", "2026-11-23 12:00", "1m30s", "12,345", "1,000,000", "X"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", got, want)
	}
	got = row(console.Session{Started: now.Add(-time.Minute)}, now)
	if got[0] != "-" || got[6] != "11:59:00" || got[7] != "1m0s" || got[8] != "-" {
		t.Errorf("before login: %q", got)
	}
}
