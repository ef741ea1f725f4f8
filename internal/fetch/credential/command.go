package credential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// DefaultTimeout is how long a command or a keyring may take: time enough
	// for a person to type a passphrase.
	DefaultTimeout = time.Minute

	// settleTime is how long output is waited for once the command has ended:
	// a process that it left behind may hold the pipe open for ever.
	settleTime = 2 * time.Second
)

// CommandOptions change how a command is run. The zero value will do.
type CommandOptions struct {
	// Timeout is for the command as a whole. Zero stands for DefaultTimeout.
	Timeout time.Duration

	// Stderr is where the command's messages go. Nil stands for os.Stderr.
	Stderr *os.File

	// Env is the command's environment. Nil stands for that of this process.
	Env []string

	// Terminal is for a command that may ask a person on the terminal: it
	// stays in the foreground. Otherwise it has a process group of its own,
	// so that at the deadline all that it has started ends with it.
	Terminal bool
}

// Command gives the first line that a command prints, which `sh -c` runs. It
// reads nothing from standard input. The command must end with status 0.
//
// Errors say nothing of the command but its exit status: it may hold a secret
// itself, and what it prints is one.
func Command(line string, opts CommandOptions) Source {
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	return source(func(ctx context.Context) (string, error) { return run(ctx, line, opts) })
}

func run(ctx context.Context, line string, opts CommandOptions) (string, error) {
	within, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	cmd := exec.CommandContext(within, "sh", "-c", line)
	out := &output{full: cancel}
	cmd.Env = opts.Env
	cmd.Stdout = out
	cmd.Stderr = os.Stderr
	if opts.Stderr != nil {
		cmd.Stderr = opts.Stderr
	}
	cmd.WaitDelay = settleTime
	if !opts.Terminal {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("the password command was stopped: %w", ctx.Err())
	case out.over:
		return "", errors.New("the password command printed more than 64 KiB: its first line must be the password")
	case within.Err() != nil:
		return "", fmt.Errorf("the password command took longer than %v and was stopped: run it in a shell to see what it waits for", opts.Timeout)
	case errors.As(err, &exit):
		return "", fmt.Errorf("the password command failed with %s: run it in a shell to see why", exit.ProcessState)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return "", fmt.Errorf("the password command could not be run: %w", err)
	}
	return firstLine(out.printed)
}

// firstLine takes the secret out of what a command printed. Password managers
// print the password first and notes behind it.
func firstLine(printed []byte) (string, error) {
	line, _, _ := bytes.Cut(printed, []byte("\n"))
	secret := strings.TrimSuffix(string(line), "\r")
	if len(printed) == 0 {
		return "", errors.New("the password command printed nothing: its first line must be the password")
	}
	return secret, check("the first line of the password command", secret)
}

// output holds what a command prints, up to a bound. It embeds no
// bytes.Buffer, whose ReadFrom would know nothing of that.
type output struct {
	printed []byte
	over    bool
	full    func() // ends the command
}

func (o *output) Write(p []byte) (int, error) {
	if len(o.printed)+len(p) > maxSecret {
		o.over = true
		o.full()
		return 0, errors.New("too much output")
	}
	o.printed = append(o.printed, p...)
	return len(p), nil
}
