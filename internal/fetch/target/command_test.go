package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

func openCommand(t *testing.T, command string) *Command {
	t.Helper()
	c, err := OpenCommand(disk.OS{}, CommandOptions{Command: command, Staging: t.TempDir(), Account: "work", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCommand: what the command gets.
func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := openCommand(t, `cat >"`+out+`.$POPLIN_ID"; echo "$POPLIN_ACCOUNT $POPLIN_OCTETS <$POPLIN_SENDER> $OTHER" >>"`+out+`"`)
	c.opts.Env = append(os.Environ(), "OTHER=kept")
	for i, text := range letters() {
		batch, notes := prepared(t, c, letters()[:i+1]...)
		if err := c.Deliver(t.Context(), batch[i:])[0]; err != nil {
			t.Fatal(err)
		}
		if got := read(t, out+"."+id(i)); got != "X-Poplin-Id: "+id(i)+"\n"+text {
			t.Errorf("the command got %.100q, want %.100q", got, text)
		}
		settled(t, c, batch[i], notes[i], Staged)
	}
	first, _, _ := strings.Cut(read(t, out), "\n")
	if want := fmt.Sprintf("work %d <anna@example.org> kept", len(letters()[0])); first != want {
		t.Errorf("the environment: %q, want %q", first, want)
	}
}

// TestCommandEnds: each way for a command to end.
func TestCommandEnds(t *testing.T) {
	const read = "cat >/dev/null; "
	long := "Subject: long\n\n" + strings.Repeat("a line of text\n", 20000)
	for command, want := range map[string]string{
		read + "exit 0":  "",
		read + "exit 1":  "temporary: the command ended with exit code 1",
		read + "exit 63": "temporary: the command ended with exit code 63",
		read + "exit 64": "permanent: the command ended with exit code 64",
		read + "echo no; echo such user >&2; exit 67":   "permanent: the command ended with exit code 67: such user",
		read + "printf 'a\\033[1mb\\n\\n' >&2; exit 78": "permanent: the command ended with exit code 78: a?[1mb",
		read + "exit 71":        "temporary: the command ended with exit code 71",
		read + "exit 74":        "temporary: the command ended with exit code 74",
		read + "exit 75":        "temporary: the command ended with exit code 75",
		read + "exit 79":        "temporary: the command ended with exit code 79",
		read + "kill -9 $$":     "temporary: the command ended with signal: killed",
		read + "exit 126":       "down: the command ended with exit code 126",
		"/no/such/program":      "down: the command ended with exit code 127: /bin/sh: 1: /no/such/program: not found",
		"exit 75":               "temporary: the command ended with exit code 75",
		"exit 0":                "temporary: the command ended well and had not read",
		"head -c 20 >/dev/null": "temporary: the command ended well and had not read",
		"exec <&-; sleep 0.1":   "temporary: the command ended well and had not read",
		read + "sleep 2 &":      "", // which keeps standard error open
		"(yes | head -n 100000; echo last) >&2; " + read + "exit 1": "temporary: the command ended with exit code 1: last",
	} {
		for name, text := range map[string]string{"short": "Subject: s\n\ntext\n", "long": long} {
			c := openCommand(t, command)
			batch, _ := prepared(t, c, text, text)
			errs := c.Deliver(t.Context(), batch)
			var refused *Refusal
			got := ""
			switch err := errs[0]; {
			case errors.As(err, &refused) && refused.Permanent:
				got = "permanent: " + refused.Reason
			case errors.As(err, &refused):
				got = "temporary: " + refused.Reason
			case err != nil:
				got = "down: " + err.Error()
			}
			if want == "" && got != "" || !strings.HasPrefix(got, want) || fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) {
				t.Errorf("%q, %s message: %q, want %q", command, name, got, want)
			}
		}
	}
}

// TestCommandHangs: the time ends for a command and for all that it started,
// whether it heeds SIGTERM or not.
func TestCommandHangs(t *testing.T) {
	for _, command := range []string{"sleep 600", "sleep 600 & sleep 600", "cat >/dev/null; sleep 600", "(trap '' TERM; exec sleep 600) & wait"} {
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		alive, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := openCommand(t, "exec 9>"+fifo+"; echo x >&9; "+command)
		c.opts.Timeout = 100 * time.Millisecond
		batch, _ := prepared(t, c, "one\n", strings.Repeat("two\n", 50000))
		for i, err := range c.Deliver(t.Context(), batch) {
			var refused *Refusal
			if !errors.As(err, &refused) || refused.Permanent || !strings.Contains(refused.Reason, "longer than 100ms") {
				t.Errorf("%q, message %d: %v", command, i, err)
			}
		}
		// The end of what they had open is the end of them all.
		alive.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(alive); err != nil {
			t.Errorf("%q: processes of the command are left: %v", command, err)
		}
		alive.Close()
	}
}

// TestCommandAsked: before that it is asked to end.
func TestCommandAsked(t *testing.T) {
	told := filepath.Join(t.TempDir(), "told")
	c := openCommand(t, "trap 'echo told >"+told+"; exit' TERM; sleep 600 & wait")
	c.opts.Timeout = 100 * time.Millisecond
	batch, _ := prepared(t, c, "one\n")
	if err := c.Deliver(t.Context(), batch)[0]; err == nil || read(t, told) != "told\n" {
		t.Errorf("error %v, it was told %q", err, read(t, told))
	}
}

// TestCommandCancelled: that is no refusal.
func TestCommandCancelled(t *testing.T) {
	c := openCommand(t, "sleep 600")
	batch, _ := prepared(t, c, "one\n", "two\n")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	for _, err := range c.Deliver(ctx, batch) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
}

func TestCommandName(t *testing.T) {
	names := make(map[string]bool)
	for command, want := range map[string]string{
		"/usr/bin/import --token s3cret":   "command:/usr/bin/import#",
		"/usr/bin/import --token other":    "command:/usr/bin/import#",
		" TOKEN=s3cret /usr/bin/import x ": "command:#",
	} {
		name := openCommand(t, command).Name()
		if !strings.HasPrefix(name, want) || strings.Contains(name, "s3cret") || names[name] {
			t.Errorf("%q has the name %q", command, name)
		}
		names[name] = true
	}
	if _, err := OpenCommand(disk.OS{}, CommandOptions{Command: " ", Staging: t.TempDir()}); err == nil {
		t.Error("an empty command is taken")
	}
	if _, err := OpenCommand(disk.OS{}, CommandOptions{Command: "cat"}); err == nil {
		t.Error("a command without a staging folder is taken")
	}
}
