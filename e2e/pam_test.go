package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPAM: users of PAM, as pam_wrapper's pam_matrix knows them. A program of
// its own is built, with cgo.
func TestPAM(t *testing.T) {
	dir := folder(t)
	program := filepath.Join(dir, "poplin")
	build := command(t, "go", "build", "-tags", "pam", "-o", program, "./cmd/poplin")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	run(t, build)

	newAuthority(t, dir)
	modules, err := filepath.Glob("/usr/lib/*/pam_wrapper/pam_matrix.so")
	if err != nil || len(modules) == 0 {
		t.Fatalf("pam_matrix.so is not installed (%v): `make e2e` as root installs it on Debian", err)
	}
	matrix := modules[0] + " passdb=" + filepath.Join(dir, "passdb")
	rhost := filepath.Join(dir, "rhost")
	for name, text := range map[string]string{
		"passdb": "anna:pass word:poplin\nbela:pass word:ftp\n", // bela's account is for another service
		"tell":   "#!/bin/sh\necho \"$PAM_RHOST\" >" + rhost + "\n",
		"pam/poplin": "auth required " + matrix + "\n" +
			"account optional pam_exec.so " + dir + "/tell\n" +
			"account required " + matrix + "\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"anna", "bela"} {
		newMaildir(t, filepath.Join(dir, "mail", user))
	}
	config := filepath.Join(dir, "poplin.toml")
	p, plain, _ := startListening(t, func(plain, tls string) *exec.Cmd {
		text := "sandbox = false\n" + poplinConfig(dir, plain, tls, false, maildirToml)
		text = strings.Replace(text, `source = "file"`, `source = "pam"`, 1)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "serve", "--config", config)
		cmd.Env = append(os.Environ(), "LD_PRELOAD=libpam_wrapper.so", "PAM_WRAPPER=1",
			"PAM_WRAPPER_SERVICE_DIR="+filepath.Join(dir, "pam"))
		return cmd
	})

	for _, c := range []struct{ user, password, want string }{
		{"anna", "pass word", "+OK"},
		{"anna", "wrong", "-ERR [AUTH]"},
		{"anna", "", "-ERR"},
		{"anna", strings.Repeat("x", 200), "-ERR [AUTH]"},
		{"bela", "pass word", "-ERR [AUTH]"},
		{"nobody", "pass word", "-ERR [AUTH]"},
		{"anna:pass word", "poplin", "-ERR [AUTH]"},
	} {
		if got := passReply(t, plain, c.user, c.password); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s with %q: %q, want %s", c.user, c.password, got, c.want)
		}
	}
	if got, err := os.ReadFile(rhost); err != nil || string(got) != "127.0.0.1\n" {
		t.Errorf("PAM was told the address %q, %v", got, err)
	}
	if !strings.Contains(p.log.String(), "although the password is right") {
		t.Errorf("the log does not say that bela's account was refused")
	}
	if err := os.Remove(filepath.Join(dir, "passdb")); err != nil {
		t.Fatal(err)
	}
	if got := passReply(t, plain, "anna", "wrong"); !strings.HasPrefix(got, "-ERR [SYS/TEMP]") {
		t.Errorf("without PAM's file of users: %q, want [SYS/TEMP]", got)
	}
}

// passReply logs in by USER and PASS and gives the reply to PASS.
func passReply(t *testing.T, addr, user, password string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	var reply string
	for _, line := range []string{"", "USER " + user + "\r\n", "PASS " + password + "\r\n"} {
		if _, err := conn.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if reply, err = r.ReadString('\n'); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	fmt.Fprint(conn, "QUIT\r\n")
	_, _ = io.Copy(io.Discard, r) // until the maildrop is free again
	return reply
}
