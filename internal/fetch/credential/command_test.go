package credential

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command runs a line that must end by itself.
func command(line string) (string, error) {
	return Command(line, CommandOptions{Timeout: time.Hour}).Secret(context.Background())
}

func TestCommand(t *testing.T) {
	for line, want := range map[string]string{
		`echo "correct horse battery"`:                                   secret,
		`printf 'correct horse battery'`:                                 secret,
		`printf 'correct horse battery\r\nurl: x\nnote\n'`:               secret, // as password managers print
		`printf '%s\n' "correct horse battery"; exec 1>&-; exit 0`:       secret,
		`cat; echo "correct horse battery"`:                              secret, // standard input is empty
		`printf '%s\n' "correct horse battery"; head -c 60000 /dev/zero`: secret,
	} {
		if got, err := command(line); got != want || err != nil {
			t.Errorf("%s: got %q, %v", line, got, err)
		}
	}
	for line, says := range map[string]string{
		`true`:                                               "printed nothing",
		`printf '\ncorrect horse\n'`:                         "first line of the password command is empty",
		`echo correct horse; exit 3`:                         "exit status 3",
		`echo correct horse; kill -9 $$`:                     "signal: killed",
		`no-such-program-correct-horse`:                      "exit status 127",
		`while :; do echo correct horse; done`:               "more than 64 KiB",
		`exec head -c 1000000 /dev/zero`:                     "more than 64 KiB",
		`trap '' PIPE; while :; do echo correct horse; done`: "more than 64 KiB",
		`printf 'correct horse\000'`:                         "NUL",
	} {
		_, err := command(line)
		refused(t, err, says)
	}
}

// The user sees the command's messages; no error repeats them.
func TestCommandStderr(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = Command(`echo "cannot decrypt: correct horse battery" >&2; exit 2`, CommandOptions{Stderr: w}).Secret(t.Context())
	w.Close()
	refused(t, err, "exit status 2")
	shown, _ := io.ReadAll(r)
	if got, want := string(shown), "cannot decrypt: "+secret+"\n"; got != want {
		t.Errorf("the terminal got %q, want %q", got, want)
	}
}

// A command that hangs ends at the deadline, with everything it has started.
func TestCommandHangs(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	line := `sleep 1000 & echo $! $$ >` + pids + `; echo correct horse; wait`
	_, err := Command(line, CommandOptions{Timeout: 300 * time.Millisecond}).Secret(t.Context())
	refused(t, err, "took longer than 300ms")
	gone(t, pids)

	ctx, cancel := context.WithCancel(t.Context())
	os.Remove(pids)
	go func() {
		for {
			if data, _ := os.ReadFile(pids); len(strings.Fields(string(data))) == 2 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err = Command(line, CommandOptions{}).Secret(ctx)
	refused(t, err, "was stopped")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", err)
	}
	gone(t, pids)
}

// gone waits until none of the processes is alive.
func gone(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		for try := 0; alive(pid); try++ {
			if try == 5000 {
				t.Fatalf("process %d lives on", pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// alive tells whether a process runs. One that waits for a parent to take
// note of its end does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// What a command leaves behind does not keep its secret back.
func TestCommandLeavesAProcess(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	got, err := command(`sleep 1000 & echo $! >` + pids + `; echo "correct horse battery"`)
	if got != secret || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	data, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
		t.Errorf("the process that was left behind is not there: %v", err)
	}
}

// Only in the foreground can a command ask a person for a passphrase.
func TestCommandProcessGroup(t *testing.T) {
	const line = `set -- $(cat /proc/$$/stat); echo $5`
	own := strconv.Itoa(syscall.Getpgrp())
	got, err := Command(line, CommandOptions{Terminal: true}).Secret(t.Context())
	if got != own || err != nil {
		t.Errorf("with a terminal: process group %q, want %q; %v", got, own, err)
	}
	got, err = Command(line, CommandOptions{}).Secret(t.Context())
	if got == own || err != nil {
		t.Errorf("without: process group %q, want another; %v", got, err)
	}
}
