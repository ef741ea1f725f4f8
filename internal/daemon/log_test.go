package daemon

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/pop3server"
)

// TestFailedLoginLine: a failed login is one line, in a form of its own, and
// nothing that the client sent can pass for another address.
func TestFailedLoginLine(t *testing.T) {
	cases := []struct{ user, want string }{
		{"mrose", "user=<mrose>,"},
		{"x>, rip=198.51.100.7, y=<", "user=<x?, rip=198.51.100.7, y=?>,"},
		{"", "user=<>,"},
	}
	for _, c := range cases {
		for _, journal := range []string{"", "8:12345"} {
			t.Setenv("JOURNAL_STREAM", journal)
			var b bytes.Buffer
			log := NewLogger(config.Default(), &b).With("session", "ABC", "rip", "192.0.2.1")
			log.Info("before", "user", c.user)
			log.WithGroup("").Warn(pop3server.LoginFailed, "user", c.user, "mechanism", "PLAIN", "tls", true)
			lines := strings.Split(b.String(), "\n")
			line := regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARN )?pop3-login: Disconnected \(auth failed, 1 attempts\): ` +
				regexp.QuoteMeta(c.want) + ` method=PLAIN, rip=192\.0\.2\.1, tls=true, session=<ABC>$`)
			if len(lines) != 3 || !line.MatchString(lines[1]) || strings.HasPrefix(lines[1], "pop3-login") != (journal != "") {
				t.Errorf("user %q, journal %q:\n%s", c.user, journal, &b)
			}
			if strings.HasPrefix(lines[0], "time=") != (journal == "") || !strings.Contains(lines[0], "msg=before session=ABC rip=192.0.2.1 user=") {
				t.Errorf("another line: %s", lines[0])
			}
		}
	}
	cfg := config.Default()
	cfg.Log.Format = config.JSON
	var b bytes.Buffer
	NewLogger(cfg, &b).Warn(pop3server.LoginFailed, slog.String("user", "x"))
	if !strings.Contains(b.String(), `"msg":"login failed","user":"x"`) {
		t.Errorf("JSON: %s", &b)
	}
}
