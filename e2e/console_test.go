package e2e

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// withConsole adds an address for the console to the configuration.
func (s poplinServer) withConsole(t *testing.T, addr string) {
	t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "[console]\nlisten = []", "[console]\nlisten = [\""+addr+"\"]", 1)
	if changed == string(text) {
		t.Fatal("the configuration has no console")
	}
	if err := os.WriteFile(s.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// curlConsole asks the console with curl: the status and the body.
func curlConsole(t *testing.T, args ...string) (status, body string) {
	t.Helper()
	out := string(run(t, command(t, "curl", append([]string{"--disable", "--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"}, args...)...)))
	at := strings.LastIndexByte(out, '\n')
	return out[at+1:], out[:at]
}

// TestConsole: curl reads the metrics and the health; `poplin who` shows a
// session, `poplin kick` cuts it, and nothing that it marked is deleted.
func TestConsole(t *testing.T) {
	s := startPoplin(t, false)
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	var addr string
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		addr = freeAddr(t)
		s.configure(t, false, plain, tls)
		s.withConsole(t, addr)
		return s.command()
	})
	letters := corpus()[:3]
	s.maildir.fill(t, letters, 0)

	c := connect(t, s.server, overTLS)
	if err := c.Dele(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	if status, body := curlConsole(t, "http://"+addr+"/healthz"); status != "200" || body != "ok\n" {
		t.Errorf("/healthz: %s, %q", status, body)
	}
	status, body := curlConsole(t, "http://"+addr+"/metrics")
	for _, want := range []string{"\npoplin_sessions ", "\npoplin_tls_handshake_duration_seconds_count 1\n", "verb=\"DELE\"} 2\n", "\nprocess_open_fds "} {
		if status != "200" || !strings.Contains(body, want) {
			t.Errorf("/metrics: %s, without %q", status, want)
		}
	}
	if strings.Contains(body, s.user) {
		t.Error("/metrics names a user")
	}
	if status, _ := curlConsole(t, "--request", "POST", "http://"+addr+"/metrics"); status != "405" {
		t.Errorf("POST /metrics: %s", status)
	}

	var sessions []struct {
		User, Session, State string
		Messages, Marked     int
		PID                  int
		TLS                  bool
	}
	who := run(t, command(t, poplin, "who", "--config", s.config, "--json", s.user)) // without those that waited for the start
	if err := json.Unmarshal(who, &sessions); err != nil || len(sessions) != 1 {
		t.Fatalf("who: %s, %v", who, err)
	}
	if one := sessions[0]; one.User != s.user || !one.TLS || one.State != "TRANSACTION" || one.Messages != 3 || one.Marked != 2 || one.PID != s.process.cmd.Process.Pid {
		t.Errorf("who: %s", who)
	}
	if table := string(run(t, command(t, poplin, "who", "--config", s.config, s.user))); !strings.Contains(table, sessions[0].Session) || strings.Contains(table, "\x1b") {
		t.Errorf("who: %q", table)
	}
	socket := filepath.Join(s.dir, "state", "run", "control-"+strconv.Itoa(sessions[0].PID)+".sock")
	if status, body := curlConsole(t, "--unix-socket", socket, "http://poplin/sessions"); status != "200" || !strings.Contains(body, sessions[0].Session) {
		t.Errorf("curl on the control socket: %s, %q", status, body)
	}

	fails(t, 1, "kick", "--config", s.config, "nobody")
	if out := string(run(t, command(t, poplin, "kick", "--config", s.config, s.user))); out != "sessions cut: 1\n" {
		t.Errorf("kick: %q", out)
	}
	if err := c.Noop(t.Context()); err == nil {
		t.Error("the session goes on after kick")
	}
	s.maildir.holds(t, letters)

	// One that is killed leaves its socket, which nobody takes for a server.
	s.process.signal(syscall.SIGKILL)
	s.process.wait(t)
	fails(t, 3, "who", "--config", s.config)
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket of a killed server is left: %v", err)
	}
}

// TestConsoleAddressInUse: the server says which key is wrong, and binds
// nothing.
func TestConsoleAddressInUse(t *testing.T) {
	s := startPoplin(t, false)
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.withConsole(t, taken.Addr().String())
	p := start(t, s.command())
	if code := p.wait(t); code != 1 || !strings.Contains(p.log.String(), "console.listen: "+taken.Addr().String()+" is in use") {
		t.Errorf("exit code %d", code)
	}
}

// TestManualPages: groff finds nothing wrong with them.
func TestManualPages(t *testing.T) {
	pages, err := filepath.Glob("../docs/man/*.[1-9]")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		out, err := command(t, "groff", "-man", "-Tutf8", "-ww", "-z", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
}

// fails runs poplin, which must end with that exit code.
func fails(t *testing.T, code int, args ...string) {
	t.Helper()
	cmd := command(t, poplin, args...)
	out, _ := cmd.CombinedOutput() // the exit code says it
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("poplin %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, out)
	}
}
