package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds whatever a test waits for: far more than any step takes on
// a slow machine, far less than a person would wait.
const patience = 6 * time.Minute

// nobody are the user and group that programs get which refuse to work for
// root, or should not.
const nobody, nogroup = 65534, 65534

// asNobody makes the command run as nobody where the test runs as root.
func asNobody(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nogroup}}
	}
}

// giveToNobody hands the folders and files to the user of asNobody.
func giveToNobody(t *testing.T, paths ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	for _, p := range paths {
		if err := os.Chown(p, nobody, nogroup); err != nil {
			t.Fatal(err)
		}
	}
}

// command makes a command that is killed when it takes longer than patience.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, find(t, name), args...)
	cmd.WaitDelay = time.Second
	return cmd
}

// find gives the path of a program. Servers are not on everybody's PATH.
func find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatalf("%s is not installed: `make e2e` as root installs it on Debian", name)
	}
	return path
}

// run runs the command to its end and gives what it wrote to standard output.
// An exit status that is not among ok (0 always is) ends the test.
func run(t *testing.T, cmd *exec.Cmd, ok ...int) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	code := cmd.ProcessState.ExitCode()
	for _, c := range ok {
		if code == c {
			return out.Bytes()
		}
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", strings.Join(cmd.Args, " "), err, excerpt(out.Bytes()), excerpt(errs.Bytes()))
	}
	return out.Bytes()
}

// process is a server that runs until stop, kill or the end of the test.
type process struct {
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{}
	err  error // of Wait, once done is closed
}

// launch starts the command. The caller sees to its end.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, log: &logBuffer{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = time.Second // its own children may hold the log open
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p
}

// start starts the command. What it printed is shown when the test fails.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := launch(t, cmd)
	t.Cleanup(func() {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			p.signal(syscall.SIGKILL)
			<-p.done
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // children left over; mostly there are none
		if t.Failed() {
			t.Logf("log of %s:\n%s", cmd.Path, p.log)
		}
	})
	return p
}

// signal does nothing once the process has ended: its number may be another's.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s) // it may end at this moment
	}
}

// wait waits for the end and gives the exit status, -1 for death by signal.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s has not ended after %v", p.cmd.Path, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// waitFor waits until each address takes connections. It is false when the
// process ended instead.
func (p *process) waitFor(t *testing.T, addrs ...string) bool {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, addr := range addrs {
		for {
			conn, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-p.done:
				return false
			case <-time.After(20 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("nothing listens on %s: %v\n%s", addr, err, p.log)
			}
		}
	}
	return true
}

// freeAddr gives an address on the loopback whose port the kernel chose.
// Another program may take the port before it is used: callers try again.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startListening starts the command that make gives for two free addresses
// and waits until it takes connections on both, with other addresses where
// those were taken meanwhile.
func startListening(t *testing.T, make func(plain, tls string) *exec.Cmd) (p *process, plain, tls string) {
	t.Helper()
	for range 5 {
		plain, tls = freeAddr(t), freeAddr(t)
		p = start(t, make(plain, tls))
		if p.waitFor(t, plain, tls) {
			return p, plain, tls
		}
	}
	t.Fatalf("%s does not start:\n%s", p.cmd.Path, p.log)
	return nil, "", ""
}

// logBuffer keeps what a process prints; many may write and read at once.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// port gives the port of an address.
func port(addr string) string {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		panic(fmt.Sprintf("address %q of our own making: %v", addr, err))
	}
	return p
}

// folder makes a folder that is removed after the test. Unlike those of
// t.TempDir, other users may enter it, and its path is short enough for the
// sockets of servers.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "poplin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
