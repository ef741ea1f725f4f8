package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// again starts the server anew with a changed configuration and environment.
func (s poplinServer) again(t *testing.T, change func(text string) string, command func() *exec.Cmd) poplinServer {
	t.Helper()
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, true, plain, tls)
		s.rewrite(t, change)
		return command()
	})
	return s
}

// rewrite changes the configuration file.
func (s poplinServer) rewrite(t *testing.T, change func(text string) string) {
	t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, []byte(change(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// waitLog waits until the log says it n times.
func (p *process) waitLog(t *testing.T, text string, n int) {
	t.Helper()
	for end := time.Now().Add(patience); strings.Count(p.log.String(), text) < n; time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.done:
			t.Fatalf("the server ended before it said %q %d times", text, n)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the log does not say %q %d times", text, n)
		}
	}
}

func known(text string) string {
	return text + "\n[limits]\nknown_networks = [\"127.0.0.0/8\"]\n"
}

// TestRightsDropped: started as root, every thread of the server is nobody's,
// without a right of root's and without a way to get one, and the kernel keeps
// files from it that are outside of the configuration's folders.
func TestRightsDropped(t *testing.T) {
	s := startPoplin(t, true)
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t) // it makes files behind the first connection it takes
	giveToNobody(t, s.dir, filepath.Join(s.dir, "users"), filepath.Join(s.dir, "key.pem"), filepath.Join(s.dir, "state"))
	for _, owned := range []string{"state", "mail"} {
		run(t, command(t, "chown", "-R", "nobody:nogroup", filepath.Join(s.dir, owned)))
	}
	s = s.again(t, func(text string) string { return "user = \"nobody\"\n" + known(text) }, s.command)
	s.wantLogin(t, s.user, s.password, "+OK")

	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.process.cmd.Process.Pid))
	if err != nil || len(threads) < 2 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		for field, want := range map[string]string{
			"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "Groups": "65534",
			"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapInh": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1",
		} {
			_, rest, _ := strings.Cut("\n"+string(status), "\n"+field+":")
			line, _, _ := strings.Cut(rest, "\n")
			if got := strings.Join(strings.Fields(line), " "); got != want {
				t.Errorf("%s has %s %q, want %q", thread, field, got, want)
			}
		}
	}

	s.process.waitLog(t, "protocol=pop3s", 1)
	log := s.process.log.String()
	if strings.Contains(log, "this kernel has no Landlock that fits") {
		return // and the log says so
	}
	if !strings.Contains(log, "sandbox is enforced") {
		t.Error("the log does not say what the sandbox does")
	}
	// A file that the permissions allow and the sandbox does not.
	outside := filepath.Join(folder(t), "letter")
	if err := os.WriteFile(outside, []byte("Subject: secret\n\nx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, "users")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(s.dir, "users")); err != nil {
		t.Fatal(err)
	}
	s.process.signal(syscall.SIGHUP)
	s.process.waitLog(t, "users cannot be read: those known before stay", 1)
	s.wantLogin(t, s.user, s.password, "+OK")
}

// TestSocketActivation: systemd's sockets are served, and those that are not
// this process's, or that nothing is known of, are not.
func TestSocketActivation(t *testing.T) {
	s := startPoplin(t, true)
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	activated := func(pid, count, names string) *exec.Cmd {
		cmd := exec.Command("/bin/sh", "-c", "LISTEN_PID="+pid+" LISTEN_FDS="+count+" LISTEN_FDNAMES="+names+" exec \"$@\"", "sh", poplin, "serve", "--config", s.config)
		cmd.ExtraFiles = []*os.File{f}
		return cmd
	}
	s.rewrite(t, known)
	s.plain = listener.Addr().String()
	s.process = start(t, activated("$$", "1", "pop3"))
	s.process.waitLog(t, "protocol=pop3s", 1)
	s.wantLogin(t, s.user, s.password, "+OK")
	s.process.signal(syscall.SIGTERM)
	if code := s.process.wait(t); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	if conn, err := net.Dial("tcp", s.plain); err != nil {
		t.Errorf("the socket is closed for good: %v", err) // systemd has it still
	} else {
		conn.Close()
	}

	// A socket for LMTP, as its unit made it, where the configuration names none.
	sock := filepath.Join(s.dir, "lmtp.sock")
	local, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if err := os.Chmod(sock, 0o600); err != nil {
		t.Fatal(err)
	}
	lmtp, err := local.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer lmtp.Close()
	cmd := activated("$$", "2", "pop3:lmtp")
	cmd.ExtraFiles = append(cmd.ExtraFiles, lmtp)
	s.process = start(t, cmd)
	conn, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "220 ") {
		t.Errorf("LMTP begins with %q, %v", line, err)
	}
	if info, err := os.Stat(sock); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket of systemd is %v now, %v", info.Mode(), err)
	}
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	if _, err := os.Stat(sock); err != nil {
		t.Errorf("the socket of systemd is gone: %v", err)
	}

	for _, c := range []struct{ count, names, want string }{
		{"1", "smtp", `a socket named "smtp"`},
		{"2", "pop3", "does not go with"},
		{"2", "pop3:pop3s", "socket pop3s of systemd"},
	} {
		p := start(t, activated("$$", c.count, c.names))
		if code := p.wait(t); code == 0 || !strings.Contains(p.log.String(), c.want) {
			t.Errorf("%s sockets named %s: exit %d, %s", c.count, c.names, code, p.log)
		}
	}

	other := start(t, activated("1", "1", "pop3"))
	other.waitLog(t, "protocol=pop3s", 1)
	if strings.Contains(other.log.String(), s.plain) {
		t.Error("a socket for another process is served")
	}
}

// TestNotify: systemd hears when the server is ready, reloads, hands over and
// stops, and that it is alive.
func TestNotify(t *testing.T) {
	s := startPoplin(t, true)
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(s.dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	if err := heard.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// want passes over the signs of life.
	want := func(states ...string) string {
		t.Helper()
		buf := make([]byte, 1000)
		for alive := 0; ; alive++ {
			n, err := heard.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", states, err)
			}
			said := string(buf[:n])
			if said == "WATCHDOG=1" && states[0] != said {
				continue
			}
			for _, state := range states {
				if !strings.Contains(said, state) {
					t.Fatalf("systemd hears %q, want %s", said, states)
				}
			}
			return said
		}
	}
	s = s.again(t, known, func() *exec.Cmd {
		cmd := exec.Command("/bin/sh", "-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh", poplin, "serve", "--config", s.config)
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+heard.LocalAddr().String(), "WATCHDOG_USEC=200000")
		return cmd
	})
	want("READY=1")
	want("WATCHDOG=1")
	want("WATCHDOG=1")
	s.process.signal(syscall.SIGHUP)
	want("RELOADING=1", "MONOTONIC_USEC=")
	want("READY=1")
	s.process.signal(syscall.SIGUSR2)
	main := want("MAINPID=")
	pid := s.successor(t, s.process.cmd.Process.Pid)
	if main != fmt.Sprintf("MAINPID=%d", pid) {
		t.Errorf("systemd hears %s, want %d", main, pid)
	}
	if code := s.process.wait(t); code != 0 {
		t.Errorf("the first process ended with %d", code)
	}
	want("WATCHDOG=1") // of the second: the first would be taken for an impostor
	signalPID(t, pid, syscall.SIGTERM)
	want("STOPPING=1")
}

// TestUpgradeFails: a program that cannot take over leaves the server as it
// was, with its sessions, and the log says why. A later one can.
func TestUpgradeFails(t *testing.T) {
	s := startPoplin(t, true)
	program := filepath.Join(s.dir, "poplin")
	install := func(script string) {
		t.Helper()
		next := program + ".new"
		if script == "" {
			run(t, command(t, "cp", poplin, next))
		} else if err := os.WriteFile(next, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, program); err != nil {
			t.Fatal(err)
		}
	}
	install("")
	s = s.again(t, known, func() *exec.Cmd { return exec.Command(program, "serve", "--config", s.config) })
	session := connect(t, s.server, inClear)
	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	fails := func(why string) {
		t.Helper()
		failed++
		s.process.signal(syscall.SIGUSR2)
		s.process.waitLog(t, "upgrade failed: this process goes on serving", failed)
		if !strings.Contains(s.process.log.String(), why) {
			t.Errorf("the log does not say %q", why)
		}
		if _, err := session.Stat(t.Context()); err != nil {
			t.Fatalf("%s: the session ended: %v", why, err)
		}
		s.wantLogin(t, "nobody", "wrong", "-ERR [AUTH]")
	}
	install("#!/bin/sh\nexit 3\n")
	fails("it ended before it was ready")
	install("#!/bin/sh\nkill -9 $$\n")
	fails("signal: killed")
	install("no program\n")
	fails("exec format error")
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	fails("no such file or directory")
	install("")
	s.rewrite(t, func(string) string { return "lsten = 1\n" })
	fails("lsten")
	s.rewrite(t, func(string) string { return strings.Replace(string(good), "cert.pem", "absent.pem", 1) })
	fails("absent.pem")
	s.rewrite(t, func(string) string { return string(good) })

	// The kernel gives one signal for two that come at once: two are sent in turn.
	s.process.signal(syscall.SIGUSR2)
	pid := s.successor(t, s.process.cmd.Process.Pid)
	s.process.signal(syscall.SIGUSR2)
	s.process.waitLog(t, "there is no second upgrade here", 1)
	if _, err := session.Stat(t.Context()); err != nil {
		t.Errorf("the session ended with the upgrade: %v", err)
	}
	quit(t, session)
	s.process.wait(t)
	s.wantLogin(t, s.user, s.password, "+OK")
	signalPID(t, pid, syscall.SIGTERM)
}

// TestReloadOfBrokenFiles: what is broken stays as it was, and the log says
// why; the rest is read.
func TestReloadOfBrokenFiles(t *testing.T) {
	s := startPoplin(t, true)
	s = s.again(t, known, s.command)
	users, cert := filepath.Join(s.dir, "users"), filepath.Join(s.dir, "cert.pem")
	goodUsers, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	goodCert, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	session := connect(t, s.server, overTLS)
	defer session.Abort()
	bad := 0
	broken := func(file, content, why string) {
		t.Helper()
		bad++
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s.process.signal(syscall.SIGHUP)
		s.process.waitLog(t, why, bad)
		if _, err := session.Stat(t.Context()); err != nil {
			t.Fatalf("%s: the session ended: %v", why, err)
		}
	}
	broken(cert, "no certificate", "certificate cannot be read: the one in use stays")
	broken(cert, string(goodCert[:len(goodCert)/2]), "certificate cannot be read: the one in use stays")
	if err := os.WriteFile(cert, goodCert, 0o600); err != nil {
		t.Fatal(err)
	}
	bad = 0
	for _, content := range []string{"bela\n", "\x00", string(goodUsers) + "carl:{NOSUCH}x\n"} {
		broken(users, content, "users cannot be read: those known before stay")
	}
	_ = session.Quit(t.Context())
	s.wantLogin(t, s.user, s.password, "+OK")
	if err := os.WriteFile(users, goodUsers, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 100 { // a storm
		s.process.signal(syscall.SIGHUP)
	}
	s.process.waitLog(t, "msg=reloaded", 1)
	s.wantLogin(t, s.user, s.password, "+OK")
}
