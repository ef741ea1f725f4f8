package e2e

import (
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemoOnce: the demo serves, retrieves and checks, and ends with 0.
func TestDemoOnce(t *testing.T) {
	cmd := command(t, poplin, "demo", "--once")
	cmd.Dir = folder(t)
	run(t, cmd)
}

// TestDemoLines pastes the lines that the demo prints into a shell, as a
// newcomer does, in the folder where the demo runs.
func TestDemoLines(t *testing.T) {
	cmd := exec.Command(poplin, "demo")
	cmd.Dir = folder(t)
	demo := start(t, cmd)
	// The line for openssl is the last of them.
	printed := regexp.MustCompile(`(?s)(python3 - <<'END'\n.*?\nEND\n).*?\n(curl (?:[^\n]*\\\n)*[^\n]*\n).*?\n(openssl (?:[^\n]*\\\n)*[^\n]*\n)`)
	var lines []string
	for deadline := time.Now().Add(patience); lines == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the demo has not printed lines to paste:\n%s", demo.log)
		}
		lines = printed.FindStringSubmatch(plainText(demo.log.String()))
	}
	for name, try := range map[string]struct{ line, input, want string }{
		"python":  {lines[1], "", `(?m)^\S.* \d+$`},
		"curl":    {lines[2], "", `(?mi)^subject: .*\r$`},
		"openssl": {lines[3], "USER demo\nPASS demo\nSTAT\nRETR 1\nQUIT\n", `(?s)\+OK \d+ \d+\r\n\+OK.*\r\n\.\r\n\+OK`},
	} {
		t.Run(name, func(t *testing.T) {
			shell := command(t, "sh", "-c", try.line)
			shell.Dir = cmd.Dir
			shell.Stdin = strings.NewReader(try.input)
			if out := run(t, shell); !regexp.MustCompile(try.want).Match(out) {
				t.Errorf("%s\nprinted %s, want %s", try.line, excerpt(out), try.want)
			}
		})
	}
	demo.signal(syscall.SIGINT)
	if code := demo.wait(t); code != 0 {
		t.Errorf("the demo ends with %d at Ctrl-C, want 0", code)
	}
}

// plainText takes colours out.
func plainText(s string) string {
	return regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]").ReplaceAllString(s, "")
}
