package maildir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// holdPath makes the test binary a process that opens a Maildir, says so, and
// holds it until it is killed.
const holdPath = "POPLIN_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdPath); path != "" {
		s, err := New(Options{Path: path})
		if err == nil {
			_, err = s.Open(context.Background(), user)
		}
		fmt.Println("held", err)
		time.Sleep(time.Minute) // the end of all goroutines would be that of the process
	}
	os.Exit(m.Run())
}

// TestLockBetweenProcesses: another process's session keeps us out, until
// that process is killed.
func TestLockBetweenProcesses(t *testing.T) {
	b := newBox(t, Options{})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdPath+"="+filepath.Dir(b.path)+"/{user}")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held <nil>\n" {
		t.Fatalf("the other process says %q", line)
	}
	for range 3 {
		if _, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrInUse) {
			t.Fatalf("Open while another process holds it: %v, want ErrInUse", err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	b.open()
}

// TestLockFileRemoved: somebody who deletes the lock file between open and
// lock does not make two sessions.
func TestLockFileRemoved(t *testing.T) {
	b := newBox(t, Options{})
	b.hook.reset(func(call int, op, name string) error {
		if op == "flock" && b.hook.count("flock") == 1 {
			b.remove(lockName)
		}
		return nil
	})
	b.open()
	if _, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrInUse) {
		t.Errorf("second Open: %v, want ErrInUse", err)
	}
	always := newBox(t, Options{})
	always.hook.reset(func(call int, op, name string) error {
		if op == "flock" {
			always.remove(lockName)
		}
		return nil
	})
	if _, err := always.Open(t.Context(), user); !errors.Is(err, maildrop.ErrTemporary) {
		t.Errorf("Open while the lock file keeps vanishing: %v, want ErrTemporary", err)
	}
	always.leaks()
}
