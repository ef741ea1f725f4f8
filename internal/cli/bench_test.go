package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3client"
)

func runBench(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), append([]string{"bench"}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func usersFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Idle ends when its time is over with a NOOP for each connection, however
// slow the machine is; all that comes before may find no time at all.
func TestBench(t *testing.T) {
	addr, file := checkedServer(t)
	code, out, errOut := runBench(t, addr, "--tls", "none", "-u", "alice", "--password-file", file, "-w", "idle", "-d", "50ms", "--noop", "1h", "--pid", strconv.Itoa(os.Getpid()))
	if code != exitOK || errOut != "" {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	for _, want := range []string{addr + " (Poplin), clear text; the first user has 1 message, 20 octets\n", "1 of 1 that logged in", "NOOPs       1,", "p50         p90         p99         max\n", "MB in all"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	users := usersFile(t, "# test accounts\n\nalice:"+checkPassword+"\n")
	if code, out, errOut := runBench(t, addr, "--tls", "none", "--users", users, "-d", "50ms", "-w", "all"); code != exitOK || errOut != "" || strings.Contains(out, "drain") || strings.Contains(out, "deleted") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	if n := messagesOf(t, addr); n != 1 {
		t.Errorf("%d messages are left of one", n)
	}
}

func messagesOf(t *testing.T, addr string) int {
	t.Helper()
	c, err := pop3client.DialInsecure(t.Context(), addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	if err := c.Login(t.Context(), "alice", checkPassword); err != nil {
		t.Fatal(err)
	}
	stat, err := c.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return stat.Messages
}

// Mail is deleted where that was asked for twice, and only there.
func TestBenchDrain(t *testing.T) {
	addr, file := checkedServer(t)
	args := []string{addr, "--tls", "none", "-u", "alice", "--password-file", file, "-w", "drain", "-d", "1h"}
	if code, out, errOut := runBench(t, args...); code != exitUsage || out != "" || !strings.Contains(errOut, "--delete") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	if n := messagesOf(t, addr); n != 1 {
		t.Fatalf("%d messages are left of one", n)
	}
	code, out, errOut := runBench(t, append(args, "--delete", "--pipeline")...)
	if code != exitOK || errOut != "" || !strings.Contains(out, "deleted     1\n") || !strings.Contains(out, "messages    1,") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	if n := messagesOf(t, addr); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	_, _, errOut = runBench(t, append(args, "--delete")...)
	if !strings.Contains(errOut, "is empty") {
		t.Errorf("%s", errOut)
	}
}

// Scripts read these events and names.
func TestBenchJSON(t *testing.T) {
	addr, file := checkedServer(t)
	code, out, errOut := runBench(t, addr, "--tls", "none", "-u", "alice", "--password-file", file, "-w", "idle", "-d", "1100ms", "--noop", "10ms", "--json")
	if code != exitOK || errOut != "" {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	want := map[string][]string{
		"started":  {"addr", "server", "tls", "messages", "octets", "pipelining"},
		"progress": {"work", "seconds", "connections", "operations", "operations_per_second", "octets_per_second", "p50", "p99", "failed"},
		"result":   {"work", "connections", "seconds", "operations", "operations_per_second", "octets_per_second", "latency_ms", "opened", "kept", "failed", "failures"},
	}
	for i, line := range lines {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		name, _ := event["event"].(string)
		if name == "started" != (i == 0) || name == "result" != (i == len(lines)-1) {
			t.Errorf("line %d is %q", i, name)
		}
		for _, key := range want[name] {
			if _, there := event[key]; !there {
				t.Errorf("%s lacks %s: %s", name, key, line)
			}
		}
	}
	if len(lines) < 3 {
		t.Errorf("no progress was told:\n%s", out)
	}
}

// Failures of sessions end in exit code 1, and in 75 where they pass.
func TestBenchFails(t *testing.T) {
	addr, _ := checkedServer(t)
	args := []string{addr, "--tls", "none", "-w", "idle", "-d", "20ms", "--users"}
	code, out, errOut := runBench(t, append(args, usersFile(t, "alice:"+checkPassword+"\nbob:wrong\n"))...)
	if code != exitFailure || errOut != "" || !strings.Contains(out, "1 session failed: login refused, the first: ") || strings.Contains(out, "wrong") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	addr, _ = checkedServer(t)
	args[0] = addr
	code, out, errOut = runBench(t, append(args, usersFile(t, "alice:"+checkPassword+"\nalice:"+checkPassword+"\n"))...)
	if code != exitTryAgain || errOut != "" || !strings.Contains(out, "1 session failed: maildrop in use") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
}

// cancelling ends a context when a text comes by.
type cancelling struct {
	bytes.Buffer
	text   string
	cancel func()
}

func (c *cancelling) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.cancel()
	}
	return c.Buffer.Write(p)
}

// Ctrl-C ends a run, which prints what there is.
func TestBenchInterrupted(t *testing.T) {
	addr, file := checkedServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &cancelling{text: "logins/s", cancel: cancel}
	var errOut bytes.Buffer
	code := Run(ctx, []string{"bench", addr, "--tls", "none", "-u", "alice", "--password-file", file, "-w", "all", "-d", "1h"}, nil, out, &errOut)
	if code != exitOK || errOut.Len() > 0 || !strings.Contains(out.String(), "1 connection, interrupted, ") || strings.Count(out.String(), "p99         max\n") != 1 {
		t.Errorf("exit code %d\n%s%s", code, out, &errOut)
	}
}

func TestBenchNotRun(t *testing.T) {
	addr, file := checkedServer(t)
	for want, args := range map[string][]string{
		"cannot measure":            {addr, "--tls", "none", "-u", "bob", "--password-file", file},
		"handshake":                 {addr, "-u", "alice", "--password-file", file, "--timeout", "2s"},
		"add --yes":                 {"192.0.2.1:110", "--tls", "none", "-u", "alice", "--password-file", file},
		"no process":                {addr, "--tls", "none", "-u", "alice", "--password-file", file, "--pid", "999999999"},
		":2: want NAME:PASSWORD":    {addr, "--users", usersFile(t, "a:b\nc\n")},
		"names no user":             {addr, "--users", usersFile(t, "# nobody\n")},
		"no such file or directory": {addr, "--users", filepath.Join(t.TempDir(), "x")},
	} {
		code, out, errOut := runBench(t, args...)
		if code != exitNotRun || !strings.Contains(errOut, want) || out != "" || strings.Contains(errOut, checkPassword) {
			t.Errorf("%s: exit code %d\n%s%s", want, code, out, errOut)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	if code := Run(ctx, []string{"bench", addr, "--tls", "none", "-u", "alice", "--password-file", file}, nil, &stdout, &stderr); code != exitNotRun {
		t.Errorf("exit code %d\n%s%s", code, &stdout, &stderr)
	}
}

func TestBenchUsage(t *testing.T) {
	users := usersFile(t, "alice:x\n")
	for _, args := range [][]string{
		{}, {"localhost"},
		{"localhost", "--user", "alice"},
		{"localhost", "--users", users, "--user", "alice", "--password-file", "x"},
		{"localhost", "--users", users, "--password-file", "x"},
		{"localhost", "--users", users, "--work", "destroy"},
		{"localhost", "--users", users, "--work", "poll", "--delete"},
		{"localhost", "--users", users, "--duration", "0s"},
		{"localhost", "--users", users, "--ramp", "0"},
		{"localhost", "--users", users, "--ramp", "1000000"},
		{"localhost", "--users", users, "--connections", "2"},
		{"localhost", "--users", users, "--tls", "starttls"},
	} {
		if code, out, errOut := runBench(t, args...); code != exitUsage || out != "" {
			t.Errorf("%q: exit code %d\n%s%s", args, code, out, errOut)
		}
	}
}

func TestMillis(t *testing.T) {
	for ms, want := range map[float64]string{0: "0.00 ms", 9.994: "9.99 ms", 12.34: "12.3 ms", 1234.5: "1,235 ms"} {
		if got := millis(ms); got != want {
			t.Errorf("%v is written %q", ms, got)
		}
	}
}
