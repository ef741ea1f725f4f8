package target

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/pop3"
)

// CommandOptions say what command gets messages. Command and Staging must be
// set.
type CommandOptions struct {
	Command string        // for the shell
	Staging string        // a folder for messages on their way, which other targets may use too
	Account string        // for POPLIN_ACCOUNT
	Timeout time.Duration // for one message; 0: ten minutes

	// Env is the environment, to which variables for the message are added; nil:
	// that of this process.
	Env []string
}

// Command runs a command for each message, with the message on its standard
// input: lines end in LF, and the first is X-Poplin-Id. In its environment are
// POPLIN_ACCOUNT, POPLIN_ID, POPLIN_OCTETS, of the message without that line,
// and POPLIN_SENDER, from Return-Path, perhaps empty. Its standard output goes
// nowhere; the last line of its standard error is the reason when it fails.
//
// Exit code 0 means that it took the message, if it read all of it. The codes
// of sysexits.h from 64 to 78 mean that it never will, but for EX_OSERR,
// EX_IOERR and EX_TEMPFAIL (71, 74, 75), which like all others, a signal, and
// the time being up mean that it may later. 126 and 127 are the shell's, for a
// command that cannot be run: then no message is tried.
//
// A command whose end a run did not see is run again for the same message, when
// it has ended: what it does should be harmless the second time, by the id.
type Command struct {
	staging
	opts CommandOptions
}

// OpenCommand makes the target. Nothing is run yet.
func OpenCommand(fsys disk.FS, opts CommandOptions) (*Command, error) {
	opts.Timeout = cmp.Or(opts.Timeout, 10*time.Minute)
	if opts.Env == nil {
		opts.Env = os.Environ()
	}
	c := &Command{opts: opts}
	if strings.TrimSpace(opts.Command) == "" {
		return nil, errors.New("the command is empty")
	}
	var err error
	c.staging, err = newStaging(fsys, opts.Staging, c.Name())
	return c, err
}

var _ Target = (*Command)(nil)

// Name implements Target. Of the command it has a checksum, since there may be
// a password in it, and for people its first word, if that sets no variable.
func (c *Command) Name() string {
	sum := sha256.Sum256([]byte(c.opts.Command))
	word := strings.Fields(c.opts.Command)[0]
	if strings.Contains(word, "=") {
		word = ""
	}
	return "command:" + pop3.Sanitize(word) + "#" + hex.EncodeToString(sum[:8])
}

// Batch implements Target.
func (c *Command) Batch() int { return 1 }

// Prepare implements Target.
func (c *Command) Prepare(_ context.Context, batch []*Message) ([]string, []error) {
	return make([]string, len(batch)), c.sync(batch)
}

// Settle implements Target.
func (c *Command) Settle(_ context.Context, m *Message, _ string) (Outcome, error) {
	return c.settle(m), nil
}

// Deliver implements Target. Messages come one by one.
func (c *Command) Deliver(ctx context.Context, batch []*Message) []error {
	errs := make([]error, len(batch))
	var down error
	for i, m := range batch {
		if errs[i] = cmp.Or(down, ctx.Err()); errs[i] != nil {
			continue
		}
		errs[i] = c.run(ctx, m)
		if errs[i] != nil && !errors.As(errs[i], new(*Refusal)) {
			down = errs[i]
		}
	}
	return errs
}

// Exit codes of sysexits.h, and of the shell.
const (
	exUsage    = 64 // the first of sysexits.h
	exOSErr    = 71
	exIOErr    = 74
	exTempFail = 75
	exConfig   = 78 // the last

	shCannotRun = 126
	shNotFound  = 127
)

const (
	// killGrace is how long a command that is told to end has for that.
	killGrace = 5 * time.Second

	// pipeGrace is how long processes that a command left may keep its standard
	// error open.
	pipeGrace = time.Second
)

// run runs the command for one message.
func (c *Command) run(ctx context.Context, m *Message) error {
	// The feeder inherits the file itself, which this process need not live for.
	f, err := os.OpenFile(c.path(m.ID), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	alone, err := c.alone(ctx, m.ID)
	if err != nil {
		return err
	}
	defer release(alone)
	e, err := readEnvelope(io.NewSectionReader(f, 0, m.Octets))
	if err != nil {
		return err
	}
	in, message, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	defer message.Close()
	within, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	feeder := feed(m.ID, f, message)
	if err := feeder.Start(); err != nil {
		return err
	}
	said := new(lastLine)
	cmd := exec.Command("/bin/sh", "-c", c.opts.Command)
	cmd.Env = append(c.opts.Env[:len(c.opts.Env):len(c.opts.Env)], "POPLIN_ACCOUNT="+c.opts.Account, "POPLIN_ID="+m.ID,
		fmt.Sprint("POPLIN_OCTETS=", m.Octets), "POPLIN_SENDER="+e.sender)
	cmd.Stdin, cmd.Stderr = in, said
	cmd.ExtraFiles = append(make([]*os.File, lockFile-3), alone)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = pipeGrace
	if err := cmd.Start(); err != nil {
		in.Close()
		feeder.Wait()
		return err
	}
	ended := make(chan struct{})
	fed := make(chan error, 1)
	go func() {
		err := feeder.Wait()
		if err != nil { // what came is no message: the command must not see its end
			cancel()
			<-ended
		}
		message.Close()
		fed <- err
	}()
	var watch sync.WaitGroup
	watch.Go(func() { limit(within, cmd.Process.Pid, ended) })
	err = cmd.Wait()
	close(ended)
	watch.Wait()
	// What is left in the pipe it did not read. That is taken out of it, so that
	// whoever fills it comes to the end.
	left, _ := io.Copy(io.Discard, in)
	fedErr := <-fed
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	switch {
	case err == nil && fedErr == nil && left == 0:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case fedErr != nil:
		return fmt.Errorf("the message cannot be given to the command: %w", fedErr)
	case within.Err() != nil:
		return &Refusal{Reason: fmt.Sprintf("the command takes longer than %v", c.opts.Timeout)}
	case err != nil:
		return exitError(cmd.ProcessState, err, said.String())
	}
	return &Refusal{Reason: "the command ended well and had not read the whole message: it must read all of its standard input"}
}

// feed makes the process that fills the pipe. It is one of its own, since with
// this one killed the command would take what it has by then for the whole
// message.
func feed(id string, staged, to *os.File) *exec.Cmd {
	feeder := exec.Command("/bin/sh", "-c", `printf '%s: %s\n' "$1" "$2" && exec cat`, "feed", idField, id)
	feeder.Stdin, feeder.Stdout = staged, to
	feeder.Env = []string{}
	feeder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return feeder
}

// limit ends a group of processes when ctx ends before its leader does: it asks
// first, and then kills what is left.
func limit(ctx context.Context, group int, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	syscall.Kill(-group, syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(killGrace):
	}
	syscall.Kill(-group, syscall.SIGKILL)
}

// exitError says what an exit code means.
func exitError(state *os.ProcessState, err error, said string) error {
	if state == nil {
		return err
	}
	reason := "the command ended with " + strings.TrimPrefix(state.String(), "exit status ")
	if code := state.ExitCode(); code >= 0 {
		reason = fmt.Sprintf("the command ended with exit code %d", code)
	}
	if said != "" {
		reason += ": " + said
	}
	switch code := state.ExitCode(); {
	case code == shCannotRun || code == shNotFound:
		return errors.New(reason)
	case code >= exUsage && code <= exConfig:
		return &Refusal{Permanent: code != exOSErr && code != exIOErr && code != exTempFail, Reason: reason}
	}
	return &Refusal{Reason: reason}
}

// lastLine keeps the end of what is written to it.
type lastLine struct{ end []byte }

// Write implements io.Writer.
func (l *lastLine) Write(p []byte) (int, error) {
	const limit = 4 << 10
	l.end = append(l.end, p...)
	if len(l.end) > limit {
		l.end = append(l.end[:0], l.end[len(l.end)-limit:]...)
	}
	return len(p), nil
}

// String gives the last line that is not blank, fit for a terminal.
func (l *lastLine) String() string {
	text := bytes.TrimSpace(l.end)
	return pop3.Sanitize(string(bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:])))
}

// Close implements Target.
func (c *Command) Close() error { return nil }
