package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3client"
)

const (
	loadRate  = 200 // sessions a second
	loadUsers = 400 // so that none logs in while his last session is still open
)

// loadTime is how long sessions come. POPLIN_LOAD_SECONDS makes it longer.
func loadTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("POPLIN_LOAD_SECONDS")
	if text == "" {
		return 6 * time.Second
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 4 {
		t.Fatalf("POPLIN_LOAD_SECONDS is %q, not a number of at least 4", text)
	}
	return time.Duration(n) * time.Second
}

// crowd has many users with one password, and a message each.
func crowd(t *testing.T) poplinServer {
	t.Helper()
	s := startPoplin(t, false)
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	add := command(t, poplin, "user", "add", "--config", s.config, "--scheme", "scram-sha-256", "u")
	add.Stdin = strings.NewReader(s.password + "\n")
	run(t, add)
	users := filepath.Join(s.dir, "users")
	text, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	secret := regexp.MustCompile(`(?m)^u:([^:]*)`).FindStringSubmatch(string(text))[1]
	var lines strings.Builder
	for i := range loadUsers {
		fmt.Fprintf(&lines, "u%d:%s\n", i, secret)
		newMaildir(t, filepath.Join(s.dir, "mail", fmt.Sprintf("u%d", i))).fill(t, corpus()[:1], 0)
	}
	if err := os.WriteFile(users, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, false, plain, tls)
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, "[limits]\nsessions_per_address = 1000\n"...)
		if err := os.WriteFile(s.config, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return s.command()
	})
	return s
}

// session logs in, looks and quits, from one of a few addresses.
func (s poplinServer) session(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := pop3client.Dial(ctx, s.tls, &pop3client.Options{TLSConfig: s.authority.config(), Mechanisms: []string{"PLAIN"},
		Dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+n%100))}}})
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer c.Abort()
	if err := c.Login(ctx, fmt.Sprintf("u%d", n%loadUsers), s.password); err != nil {
		return fmt.Errorf("logging in: %w", err)
	}
	if stat, err := c.Stat(ctx); err != nil || stat.Messages != 1 {
		return fmt.Errorf("STAT: %d messages, %w", stat.Messages, err)
	}
	return c.Quit(ctx)
}

// TestUpgradeUnderLoad: while 200 sessions a second come, the server reloads
// and is replaced, twice each. No session fails, and one that was begun in the
// first process is at its end there.
func TestUpgradeUnderLoad(t *testing.T) {
	s := crowd(t)
	s.user = "u0" // is not among those who come
	long := connect(t, s.server, overTLS)

	ctx, cancel := context.WithTimeout(t.Context(), loadTime(t))
	defer cancel()
	var (
		group    sync.WaitGroup
		mu       sync.Mutex
		failed   []error
		took     time.Duration
		sessions int
	)
	group.Go(func() {
		tick := time.NewTicker(time.Second / loadRate)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if n%loadUsers == 0 {
				continue
			}
			sessions++
			group.Go(func() {
				begun := time.Now()
				err := s.session(t.Context(), n)
				mu.Lock()
				defer mu.Unlock()
				took = max(took, time.Since(begun))
				if err != nil {
					failed = append(failed, err)
				}
			})
		}
	})

	pid := s.process.cmd.Process.Pid
	step := loadTime(t) / 6
	for range 2 {
		time.Sleep(step)
		signalPID(t, pid, syscall.SIGHUP)
		time.Sleep(step)
		signalPID(t, pid, syscall.SIGUSR2)
		pid = s.successor(t, pid)
	}
	group.Wait()
	t.Logf("%d sessions, %d failed, the longest took %v", sessions, len(failed), took.Round(time.Millisecond))
	for _, err := range failed[:min(len(failed), 10)] {
		t.Error(err)
	}
	if sessions < loadRate { // of several seconds
		t.Errorf("only %d sessions came", sessions)
	}
	select {
	case <-s.process.done:
		t.Error("the first process has ended before its last session")
	default:
	}
	quit(t, long)
	if code := s.process.wait(t); code != 0 {
		t.Errorf("the first process ended with %d", code)
	}
	if err := s.session(t.Context(), 1); err != nil {
		t.Errorf("after all: %v", err)
	}
	signalPID(t, pid, syscall.SIGTERM)
}

// successor waits until the log says which process serves after pid.
func (s poplinServer) successor(t *testing.T, pid int) int {
	t.Helper()
	said := regexp.MustCompile(`msg="upgrade: the new process serves" pid=(\d+)`)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		all := said.FindAllStringSubmatch(s.process.log.String(), -1)
		if len(all) == 0 {
			continue
		}
		if next, _ := strconv.Atoi(all[len(all)-1][1]); next != pid {
			return next
		}
	}
	t.Fatal("no process has taken over")
	return 0
}

func signalPID(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}
