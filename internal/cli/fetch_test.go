package cli

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3test"
)

// fetchBed is a server, and a configuration that fetches from it.
func fetchBed(t *testing.T, more string, messages ...string) (s *pop3test.Server, dir, config string) {
	t.Helper()
	s = pop3test.NewServer(t, pop3test.WithMessages(messages...))
	dir = t.TempDir()
	server, _ := pop3test.TLSConfigs()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]})
	_, port, err := net.SplitHostPort(s.TLSAddr)
	if err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "poplin.toml")
	text := fmt.Sprintf("state = \"state\"\n[fetch]\ntls_ca_file = \"ca.pem\"\nto = \"maildir:Mail\"\n[fetch.work]\nserver = \"localhost:%s\"\nuser = %q\npassword_file = \"pw\"\n%s",
		port, s.User, more)
	for name, content := range map[string]string{"ca.pem": string(ca), "pw": s.Password + "\n", "poplin.toml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s, dir, config
}

func TestFetch(t *testing.T) {
	s, dir, config := fetchBed(t, "keep = \"newest 1\"\non_new = 'echo $POPLIN_ACCOUNT $POPLIN_COUNT >> hook'\n", "Subject: a\n\nx\n", "Subject: b\n\ny\n")
	t.Chdir(dir)
	out, _ := printed(t, exitOK, "fetch", "--config", config, "--dry-run")
	if !strings.Contains(out, "work: message 1, 17 octets, ") || !strings.Contains(out, "would be fetched, and deleted on the server\n") || strings.Count(out, "\n") != 2 {
		t.Errorf("the plan is %q", out)
	}
	out, _ = printed(t, exitOK, "fetch", "--config", config, "--trace", "trace")
	if !strings.HasPrefix(out, "work: 2 messages new, 34 octets, 1 deleted on the server, ") {
		t.Errorf("it says %q", out)
	}
	if out, errs := printed(t, exitOK, "fetch", "--config", config, "work"); out != "" || errs != "" {
		t.Errorf("nothing is new, and it says %q, %q", out, errs)
	}
	if hook, _ := os.ReadFile("hook"); string(hook) != "work 2\n" {
		t.Errorf("on_new got %q", hook)
	}
	trace, _ := os.ReadFile("trace")
	if !strings.Contains(string(trace), "work C: RETR 1\n") || strings.Contains(string(trace), s.Password) {
		t.Errorf("the trace is %s", trace)
	}
	if mail, _ := filepath.Glob("Mail/new/*"); len(mail) != 2 {
		t.Errorf("there are %d messages", len(mail))
	}
	if _, err := s.Memory.Deliver(t.Context(), s.User, strings.NewReader("Subject: c\n\n")); err != nil {
		t.Fatal(err)
	}
	out, _ = printed(t, exitOK, "fetch", "--config", config, "--json")
	for _, want := range []string{`{"account":"work","event":"connected","count":2}`, `"event":"delivered"`, `"event":"deleted","count":1`, `"event":"ended","listed":2,"retrieved":1`} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in %s", want, out)
		}
	}
}

// TestFetchFails: exit codes tell who has to do something.
func TestFetchFails(t *testing.T) {
	_, dir, config := fetchBed(t, "on_error = 'echo $POPLIN_ERROR >> hook'\n")
	t.Chdir(dir)
	printed(t, exitUsage, "fetch", "--config", config, "--uids=some")
	if _, errs := printed(t, exitFailure, "fetch", "--config", config, "home"); !strings.Contains(errs, "there is no [fetch.home]") {
		t.Errorf("it says %q", errs)
	}
	if err := os.WriteFile("pw", []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs := printed(t, exitFailure, "fetch", "--config", config)
	if !strings.Contains(errs, "poplin: work: ") || strings.Contains(errs, "wrong\n") {
		t.Errorf("it says %q", errs)
	}
	if hook, _ := os.ReadFile("hook"); !strings.Contains(string(hook), "[AUTH]") {
		t.Errorf("on_error got %q", hook)
	}
	// Nobody listens: it may go well next time.
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	text = append(text, fmt.Sprintf("[fetch.off]\nserver = %q\nuser = \"x\"\npassword_file = \"pw\"\n", l.Addr())...)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	printed(t, exitTryAgain, "fetch", "--config", config, "off")
}

// printed runs poplin, and gives what it printed.
func printed(t *testing.T, code int, args ...string) (out, errs string) {
	t.Helper()
	var o, e strings.Builder
	if got := Run(t.Context(), args, strings.NewReader(""), &o, &e); got != code {
		t.Fatalf("poplin %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, &o, &e)
	}
	return o.String(), e.String()
}

// TestDoctor: it explains a login, and a switch downloads nothing again.
func TestDoctor(t *testing.T) {
	s, dir, config := fetchBed(t, "keep = \"all\"\n", "Message-ID: <a@x>\nSubject: a\n\nx\n", "Message-ID: <b@x>\nSubject: b\n\ny\n", "Message-ID: <c@x>\nSubject: c\n\nz\n")
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	out, _ := printed(t, exitOK, "doctor", "--config", config)
	for _, want := range []string{"ok  TLS ", "ok  login ", "3 messages on the server: the next run fetches 3 and deletes 0 there"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	for _, name := range []string{"Mail", "state"} {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("%s was made: %v", name, err)
		}
	}
	m, err := s.Memory.Open(t.Context(), s.User)
	if err != nil {
		t.Fatal(err)
	}
	uid := m.Messages()[1].UID
	m.Close()
	for name, content := range map[string]string{".fetchids": s.User + "@localhost " + uid + "\n", "other": "somebody@elsewhere.example " + uid + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, _ := printed(t, exitOK, "doctor", "--config", config); !strings.Contains(out, "fetchmail remembers what it has downloaded in ") {
		t.Errorf("it says %s", out)
	}
	if _, errs := printed(t, exitFailure, "doctor", "--config", config, "work", "--import", "other"); !strings.Contains(errs, "but of somebody at elsewhere.example") {
		t.Errorf("it says %s", errs)
	}
	if out, _ := printed(t, exitOK, "doctor", "--config", config, "work", "--import", ".fetchids"); !strings.HasPrefix(out, "work: 1 of 3 messages on the server are taken for fetched\n") {
		t.Errorf("it says %s", out)
	}
	for _, sub := range []string{"old/new", "old/cur", "old/tmp"} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("old/cur/1:2,S", []byte("Message-ID: <c@x>\nSubject: c\n\nz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := printed(t, exitOK, "doctor", "--config", config, "work", "--rebuild", "old"); !strings.Contains(out, "work: 1 of 3 messages on the server are taken for fetched\n") ||
		!strings.Contains(out, "the next run fetches 1 and deletes 0 there") {
		t.Errorf("it says %s", out)
	}
	if out, _ := printed(t, exitOK, "fetch", "--config", config); !strings.HasPrefix(out, "work: 1 message new") {
		t.Errorf("it says %s", out)
	}
	if err := os.WriteFile("pw", []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := printed(t, exitFailure, "doctor", "--config", config, "--json"); !strings.Contains(out, `"step": "login",`) || !strings.Contains(out, `"ok": false`) {
		t.Errorf("it says %s", out)
	}
	printed(t, exitFailure, "doctor", "--config", config, "--import", "other")
}

// names is a DNS with one SRV record.
type names struct{ port uint16 }

func (n names) LookupSRV(_ context.Context, service, _, name string) (string, []*net.SRV, error) {
	if service != "pop3s" || name != "pop.example." {
		return "", nil, &net.DNSError{IsNotFound: true}
	}
	return "", []*net.SRV{{Target: "localhost.", Port: n.port}}, nil
}

func (names) LookupMX(context.Context, string) ([]*net.MX, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

// TestFetchSetup: an address becomes an account that can be fetched.
func TestFetchSetup(t *testing.T) {
	s, dir, _ := fetchBed(t, "", "Subject: a\n\nx\n")
	t.Chdir(dir)
	_, port, err := net.SplitHostPort(s.TLSAddr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	before := resolver
	resolver = names{uint16(number)}
	defer func() { resolver = before }()
	setup := func(code int, input string, args ...string) string {
		t.Helper()
		var out strings.Builder
		args = append([]string{"fetch", "setup", "--config", "new.toml", "--cafile", "ca.pem", "--to", "maildir:Mail"}, args...)
		if got := Run(t.Context(), args, strings.NewReader(input), &out, &out); got != code {
			t.Fatalf("exit code %d, want %d: %s", got, code, &out)
		}
		return out.String()
	}
	address := s.User + "@pop.example"
	if out := setup(exitFailure, "no\n", address); !strings.Contains(out, "nothing was sent, and nothing was written") {
		t.Errorf("it says %s", out)
	}
	if out := setup(exitFailure, "yes\nwrong\n", address); !strings.Contains(out, "nothing was written") {
		t.Errorf("it says %s", out)
	}
	if _, err := os.Stat("new.toml"); err == nil {
		t.Fatal("a configuration was written")
	}
	if out := setup(exitFailure, address+"\nyes\n"+s.Password+"\n", "--name", "login"); !strings.Contains(out, "a name is of letters") {
		t.Errorf("it says %s", out)
	}
	out := setup(exitOK, address+"\nyes\n"+s.Password+"\n", "--name", "home")
	if !strings.Contains(out, "home: added to ") || strings.Contains(out, s.Password+"\n") {
		t.Errorf("it says %s", out)
	}
	if out, _ := printed(t, exitOK, "fetch", "--config", "new.toml"); !strings.HasPrefix(out, "home: 1 message new") {
		t.Errorf("it says %s", out)
	}
	if out := setup(exitFailure, address+"\nyes\n"+s.Password+"\n", "--name", "home"); !strings.Contains(out, "there is a [fetch.home]") {
		t.Errorf("it says %s", out)
	}
	if info, err := os.Stat("home.password"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file is %v, error %v", info, err)
	}
}
