package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/poplin-mail/poplin/internal/conformance"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3server"
)

const checkPassword = "correct horse"

type oneUser struct{}

func (oneUser) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	if l.Username != "alice" || l.Password != checkPassword {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return pop3server.Account{Name: "alice", Maildrop: "alice"}, nil
}

// checkedServer serves one message in clear text until the test ends.
func checkedServer(t *testing.T) (addr, passwordFile string) {
	t.Helper()
	store := memory.New()
	if _, err := store.Deliver(t.Context(), "alice", strings.NewReader("Subject: x\n\n.dot\n")); err != nil {
		t.Fatal(err)
	}
	server, err := pop3server.New(store, oneUser{}, pop3server.Options{InsecureAuth: true, MaxSessionsPerAddr: -1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-served })
	passwordFile = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(passwordFile, []byte(checkPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String(), passwordFile
}

func runCheck(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), append([]string{"check"}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestCheck(t *testing.T) {
	addr, file := checkedServer(t)
	code, out, errOut := runCheck(t, addr, "--tls", "none", "-u", "alice", "--password-file", file)
	if code != exitOK || !strings.Contains(out, "Poplin), 1 messages") || strings.Contains(out, "FAIL  must") || errOut != "" {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	code, out, errOut = runCheck(t, addr, "--tls", "none", "-u", "alice", "--password-command", "echo '"+checkPassword+"'", "--only", "retr/", "--json")
	var report conformance.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK || errOut != "" {
		t.Fatalf("exit code %d, %v, %s", code, err, errOut)
	}
	if report.Count("", conformance.Pass) < 4 || len(report.Results) != report.Count("", conformance.Pass)+report.Count("", conformance.NotApplicable) {
		t.Errorf("%s", out)
	}
	code, out, errOut = runCheck(t, addr, "--tls", "none", "--verbose", "--only", "quit/")
	if code != exitOK || !strings.Contains(out, "pass  must    quit/before-login") || !strings.Contains(out, "n/a   must    quit/after-login") || !strings.Contains(errOut, "without --user") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
}

// A server with a fault that an RFC forbids ends in exit code 1.
func TestCheckFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer func() { l.Close(); <-done }()
	go func() { // says +OK to everything
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("+OK\r\n"))
			for b := make([]byte, 512); ; {
				n, err := c.Read(b)
				if err != nil {
					break
				}
				c.Write([]byte(strings.Repeat("+OK\r\n", bytes.Count(b[:n], []byte("\n")))))
				if bytes.HasPrefix(b, []byte("CAPA")) {
					c.Write([]byte(".\r\n"))
				}
				if bytes.HasPrefix(b, []byte("QUIT")) {
					break
				}
			}
			c.Close()
		}
	}()
	code, out, errOut := runCheck(t, l.Addr().String(), "--tls", "none", "--only", "before-login/")
	if code != exitFailure || !strings.Contains(out, `want -ERR, got "+OK"`) || !strings.Contains(out, "C: DELE 1") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
}

func TestCheckNotRun(t *testing.T) {
	addr, file := checkedServer(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := empty + "-pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"is not a file but":       {addr, "--tls", "none", "-u", "alice", "--password-file", pipe},
		"cannot log in":           {addr, "--tls", "none", "-u", "bob", "--password-file", file},
		"TLS handshake":           {addr, "--timeout", "2s"},
		"no certificate":          {addr, "--cafile", empty},
		"first line":              {addr, "--tls", "none", "-u", "alice", "--password-file", empty},
		"password command failed": {addr, "--tls", "none", "-u", "alice", "--password-command", "exit 3"},
		"no such file":            {addr, "--tls", "none", "-u", "alice", "--password-file", empty + "-not"},
	} {
		code, out, errOut := runCheck(t, args...)
		if code != exitNotRun || !strings.Contains(errOut, want) || out != "" || strings.Contains(errOut, checkPassword) {
			t.Errorf("%s: exit code %d\n%s%s", want, code, out, errOut)
		}
	}
}

func TestCheckUsage(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"localhost", "--user", "alice"},
		{"localhost", "--password-file", "x"},
		{"localhost", "--user", "alice", "--password-file", "x", "--password-command", "y"},
		{"localhost", "--tls", "starttls"},
		{"localhost", "--only", "nothing/"},
		{"localhost", "--timeout", "0s"},
		{"localhost", "--cafile", "x", "--insecure-skip-verify"},
	} {
		if code, out, errOut := runCheck(t, args...); code != exitUsage || out != "" {
			t.Errorf("%q: exit code %d\n%s%s", args, code, out, errOut)
		}
	}
}

func TestCheckAddress(t *testing.T) {
	for _, tt := range []struct{ addr, mode, want string }{
		{"h", "implicit", "h:995"}, {"h", "stls", "h:110"}, {"h", "none", "h:110"}, {"h:1", "none", "h:1"},
		{"::1", "implicit", "[::1]:995"}, {"[::1]", "implicit", "[::1]:995"}, {"[::1]:7", "stls", "[::1]:7"},
	} {
		if got := (serverFlags{TLS: tt.mode}).address(tt.addr); got != tt.want {
			t.Errorf("%s, %s: %s", tt.addr, tt.mode, got)
		}
	}
}
