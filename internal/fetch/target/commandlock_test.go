package target

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// killedRun is set, to the folder of TestCommandKilled, in a process that runs
// its command, and is killed.
const killedRun = "POPLIN_TEST_KILLED_RUN"

// gated is the target of that test. Its command waits for a line.
func gated(t *testing.T, dir string, timeout time.Duration) *Command {
	t.Helper()
	c, err := OpenCommand(disk.OS{}, CommandOptions{Command: "cat >/dev/null; cd " + dir + "; echo begin >>log; read line <gate; echo end >>log",
		Staging: filepath.Join(dir, "staging"), Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCommandKilled: a command whose run was killed has its message alone, as
// long as it runs.
func TestCommandKilled(t *testing.T) {
	if dir := os.Getenv(killedRun); dir != "" {
		c := gated(t, dir, time.Minute)
		batch, _ := prepared(t, c, "one\n")
		c.Deliver(t.Context(), batch)
		return
	}
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "gate"), 0o600); err != nil {
		t.Fatal(err)
	}
	gate, err := os.OpenFile(filepath.Join(dir, "gate"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	run := exec.Command(os.Args[0], "-test.run=^TestCommandKilled$")
	run.Env = append(os.Environ(), killedRun+"="+dir)
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	log := func() string { return read(t, filepath.Join(dir, "log")) }
	for log() == "" {
		time.Sleep(10 * time.Millisecond)
	}
	run.Process.Kill()
	run.Wait()

	// Whether the message is that which was staged then, or has come anew.
	for _, anew := range []bool{false, true} {
		c := gated(t, dir, 300*time.Millisecond)
		c.Sweep(func(string) bool { return true })
		batch := []*Message{{ID: id(0), Octets: 4}}
		if anew {
			c.Discard(id(0))
			batch, _ = prepared(t, c, "one\n")
		}
		got := verdict(c.Deliver(t.Context(), batch)[0])
		if !strings.HasPrefix(got, "temporary: a command that an earlier run began") || log() != "begin\n" {
			t.Errorf("beside the command, anew %v: %q, and there came %q", anew, got, log())
		}
	}
	if _, err := gate.WriteString("1\n2\n"); err != nil {
		t.Fatal(err)
	}
	c := gated(t, dir, time.Minute)
	if err := c.Deliver(t.Context(), []*Message{{ID: id(0), Octets: 4}})[0]; err != nil || log() != "begin\nend\nbegin\nend\n" {
		t.Errorf("behind the command: %v, and there came %q", err, log())
	}
	c.Discard(id(0))
	if left := files(t, filepath.Join(dir, "staging")); len(left) != 0 {
		t.Errorf("%d files are left in the staging", len(left))
	}
	write(t, c.lockPath(id(1)), "")
	c.Sweep(func(string) bool { return true })
	if left := files(t, filepath.Join(dir, "staging")); len(left) != 0 {
		t.Error("a lock that nobody has is left")
	}
}

// TestCommandLeaves: a process that a command has left does not keep the message
// when the run has seen the end of the command.
func TestCommandLeaves(t *testing.T) {
	left := filepath.Join(t.TempDir(), "left")
	c := openCommand(t, "cat >/dev/null; sleep 600 >/dev/null 2>&1 & echo $! >>"+left+"; exit 75")
	batch, _ := prepared(t, c, "one\n")
	for range 2 {
		if got := verdict(c.Deliver(t.Context(), batch)[0]); got != "temporary: the command ended with exit code 75" {
			t.Errorf("%q", got)
		}
	}
	for _, pid := range strings.Fields(read(t, left)) {
		if n, err := strconv.Atoi(pid); err == nil {
			syscall.Kill(n, syscall.SIGKILL)
		}
	}
}
