package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFail2ban: the filter for Dovecot of Debian's fail2ban 1.0.2 matches each
// line of a failed login, and no other line that the server logs.
func TestFail2ban(t *testing.T) {
	s := startPoplin(t, false)
	s.restartedWith(t, "", "", "[limits]\nknown_networks = [\"127.0.0.0/8\"]\n") // which are not slowed down
	failed := 0
	for _, user := range []string{"bela", "nobody", "bela@example.org", "a<b> rip=192.0.2.1"} {
		for _, l := range []struct {
			tr      transport
			options string
		}{
			{overTLS, `login-options = "AUTH=PLAIN"`},
			{overSTLS, `login-options = "AUTH=LOGIN"`},
			{overSTLS, "login-options = \"AUTH=PLAIN\"\nsasl-ir"},
		} {
			v := visit{server: s.server, transport: l.tr, state: clientDir(t)}
			v.user, v.password = user, "wrong"
			cmd := command(t, "curl", "--disable", "--config", writeConfig(t, v, "curl", curlConfig(v, "", l.options)))
			run(t, cmd, 67) // CURLE_LOGIN_DENIED
			failed++
		}
	}
	for range 5 {
		quit(t, connect(t, s.server, overTLS))
	}
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)

	var fails, others []string
	for line := range strings.Lines(s.process.log.String()) {
		if strings.Contains(line, "auth failed") {
			fails = append(fails, line)
		} else {
			others = append(others, line)
		}
	}
	if len(fails) != failed {
		t.Errorf("%d lines of failed logins, want %d:\n%s", len(fails), failed, strings.Join(fails, ""))
	}
	if n := strings.Count(strings.Join(others, ""), `msg="logged in"`); n != 5 {
		t.Errorf("%d lines of logins, want 5", n)
	}
	regex := func(name string, lines []string) string {
		file := filepath.Join(s.dir, name)
		if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		return string(run(t, command(t, "fail2ban-regex", "--raw", "--usedns=no", file, "dovecot"), 255)) // 255: no line matches
	}
	if out, want := regex("failed", fails), fmt.Sprintf("Lines: %d lines, 0 ignored, %[1]d matched, 0 missed", failed); !strings.Contains(out, want) {
		t.Errorf("of failed logins, want %q:\n%s", want, out)
	}
	if out, want := regex("others", others), fmt.Sprintf("Lines: %d lines, 0 ignored, 0 matched, %[1]d missed", len(others)); !strings.Contains(out, want) {
		t.Errorf("of other lines, want %q:\n%s", want, out)
	}
	// Whom it bans is who failed, and not an address that the client sent.
	out := string(run(t, command(t, "fail2ban-regex", "--raw", "--usedns=no", "-o", "ip", filepath.Join(s.dir, "failed"), "dovecot")))
	if want := strings.Repeat("127.0.0.1\n", failed); out != want {
		t.Errorf("addresses to ban: %q, want %q", out, want)
	}
}
