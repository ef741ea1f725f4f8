package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// TestFetchLeftOut: what a target does not take is never left out in silence.
func TestFetchLeftOut(t *testing.T) {
	for _, c := range []struct {
		name, exit string
		first      int // exit code of runs in which it is tried, but for the last
		last       int // of that, and of those behind it
		says       string
		hooks      int // of on_error
	}{
		{"put off", "75", exitTryAgain, exitTryAgain, "poplin: work: 1 message put off, and tried again within a day; message ", 0},
		{"given up", "65", exitTryAgain, exitFailure, "ended with exit code 65; it is given up: --retry has it tried again\n", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, dir, config := fetchBed(t, "on_error = 'echo $POPLIN_ERROR >> hook'\nto = \"command:cat >/dev/null; exit "+c.exit+"\"\n", "Subject: a\n\nx\n")
			t.Chdir(dir)
			for range 4 {
				printed(t, c.first, "fetch", "--config", config)
			}
			printed(t, c.last, "fetch", "--config", config)
			for range 2 {
				if _, errs := printed(t, c.last, "fetch", "--config", config); strings.Count(errs, "\n") != 1 || !strings.Contains(errs, c.says) {
					t.Errorf("it says %q", errs)
				}
			}
			if hook, _ := os.ReadFile("hook"); strings.Count(string(hook), "is given up") != c.hooks {
				t.Errorf("on_error got %q", hook)
			}
		})
	}
}

// TestFetchTargetWrong: a target that somebody must mend is told from one that
// is away.
func TestFetchTargetWrong(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // a server that takes no login, and any in other respects
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "220 x\r\n")
			for lines := bufio.NewScanner(c); lines.Scan(); {
				reply := "250 x\r\n"
				switch verb, _, _ := strings.Cut(lines.Text(), " "); verb {
				case "EHLO":
					reply = "250-x\r\n250 AUTH PLAIN\r\n"
				case "AUTH":
					reply = "535 5.7.8 wrong\r\n"
				}
				io.WriteString(c, reply)
			}
			c.Close()
		}
	}()
	table := func(more string) string {
		return fmt.Sprintf("to = \"desk\"\n[target.desk]\nkind = \"smtp\"\nserver = %q\nrecipient = \"a@example.org\"\n%s", l.Addr(), more)
	}
	for name, c := range map[string]struct {
		config, says string
		code         int
	}{
		"no command":     {"to = \"command:/nonexistent/command\"\n", "exit code 127", exitFailure},
		"wrong password": {table("user = \"anna\"\npassword_file = \"pw\"\nsecurity = \"insecure\"\n"), "535", exitFailure},
		"open password":  {table("user = \"anna\"\npassword_file = \"open\"\nsecurity = \"insecure\"\n"), "is open to every user", exitFailure},
		"no password":    {table("user = \"anna\"\npassword_file = \"none\"\nsecurity = \"insecure\"\n"), "there is no file", exitFailure},
		"no TLS":         {table("security = \"stls\"\n"), "does not offer STARTTLS", exitFailure},
		"away":           {"to = \"desk\"\n[target.desk]\nkind = \"lmtp\"\nserver = \"unix:/nonexistent/socket\"\nrecipient = \"a\"\n", "no such file", exitTryAgain},
	} {
		t.Run(name, func(t *testing.T) {
			_, dir, config := fetchBed(t, "on_error = 'echo $POPLIN_ERROR >> hook'\n"+c.config, "Subject: a\n\nx\n")
			t.Chdir(dir)
			if err := os.WriteFile("open", []byte("secret\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			_, errs := printed(t, c.code, "fetch", "--config", config)
			hook, _ := os.ReadFile("hook")
			if !strings.Contains(errs, c.says) || strings.Contains(string(hook), c.says) != (c.code == exitFailure) {
				t.Errorf("it says %q, and on_error got %q", errs, hook)
			}
		})
	}
}
