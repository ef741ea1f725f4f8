package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"poplin": func() { os.Exit(Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// leakChecked fails the tests where one left a goroutine behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	// The runtime's goroutine for signals stays once one was asked for.
	if err := goleak.Find(goleak.IgnoreTopFunction("os/signal.signal_recv")); err != nil && code == 0 {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exitcode": exitCode,
		},
	})
}

// exitCode runs a command and compares its exit code: exitcode 2 poplin x.
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// background runs poplin in this process until the test ends it.
type background struct {
	lines *bufio.Scanner
	code  chan int
}

func inBackground(t *testing.T, args ...string) *background {
	t.Helper()
	r, w := io.Pipe()
	b := &background{bufio.NewScanner(r), make(chan int, 1)}
	go func() {
		b.code <- Run(context.Background(), args, strings.NewReader(""), w, w)
		w.Close()
	}()
	return b
}

// until reads the output up to a line with text, and fails without one.
func (b *background) until(t *testing.T, text string) string {
	t.Helper()
	for b.lines.Scan() {
		if strings.Contains(b.lines.Text(), text) {
			return b.lines.Text()
		}
	}
	t.Fatalf("no line with %q came", text)
	return ""
}

func interrupt(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

// ends reads the rest of the output and gives the exit code.
func (b *background) ends() int {
	for b.lines.Scan() {
	}
	return <-b.code
}

func TestServeSignals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "poplin.toml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("poplin.toml", "state = \"state\"\nsandbox = false\n[pop3]\nlisten = [\"127.0.0.1:0\"]\nrequire_tls = false\napop = true\n[pop3s]\nlisten = [\"127.0.0.1:0\"]\n[console]\nlisten = []\n[maildrops]\npath = \"mail/{user}\"\n")
	write("users", "anna:{PLAIN}x\n")
	b := inBackground(t, "serve", "--config", file, "--log-format", "json", "--log-level", "info")
	b.until(t, `"msg":"pop3.apop rests on MD5`)
	b.until(t, `"protocol":"pop3s"`)
	interrupt(t, syscall.SIGHUP)
	b.until(t, `"msg":"reloaded"`)
	write("users", "broken\n")
	interrupt(t, syscall.SIGHUP)
	b.until(t, "users:1: there is no colon")
	interrupt(t, syscall.SIGTERM)
	b.until(t, `"msg":"stopped"`)
	if code := b.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestDemoServesUntilInterrupted(t *testing.T) {
	state := filepath.Join(t.TempDir(), "it's a state")
	b := inBackground(t, "demo", "--state", state)
	b.until(t, "python3 - <<'END'")
	b.until(t, "mail = poplib.POP3_SSL('127.0.0.1', ")
	b.until(t, "curl --cacert '"+strings.ReplaceAll(state, "'", `'\''`)+"/self-signed.pem' --user demo:demo pop3s://127.0.0.1:")
	b.until(t, "openssl s_client -crlf -quiet -connect 127.0.0.1:")
	b.until(t, "Serving until Ctrl-C")
	second := inBackground(t, "demo", "--once", "--state", state)
	second.until(t, "a demo is running in")
	if code := second.ends(); code != 1 {
		t.Errorf("a second demo: exit code %d", code)
	}
	interrupt(t, syscall.SIGINT)
	if code := b.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// What a killed demo leaves is what this one left, but for the lock's
	// holder: the next one starts.
	if code := inBackground(t, "demo", "--once", "--json", "--state", state).ends(); code != 0 {
		t.Errorf("the next demo: exit code %d", code)
	}
}

// TestUsageNamesTheHelp of the command, as far as it was understood.
func TestUsageNamesTheHelp(t *testing.T) {
	for help, args := range map[string][]string{
		"poplin --help":              {"--no-such-flag"},
		"poplin bench --help":        {"bench", "--no-such-flag"},
		"poplin bucket --help":       {"bucket", "no-such-command"},
		"poplin bucket check --help": {"bucket", "check", "--no-such-flag"},
		"poplin expire --help":       {"expire", "anna", "--no-such-flag"},
	} {
		if _, errs := printed(t, exitUsage, args...); !strings.HasSuffix(errs, "(`"+help+"` shows what there is)\n") {
			t.Errorf("%q: %s", args, errs)
		}
	}
	runs(t, exitTryAgain, "`poplin deliver --help`", "deliver", "--no-such-flag")
}
