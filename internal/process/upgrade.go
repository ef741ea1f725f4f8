package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// upgradeTime is how long a new program may take until it serves: it opens
// files and sockets, and may ask a database.
const upgradeTime = time.Minute

// maxReport bounds what a new program says of its failure, in octets.
const maxReport = 4096

// readyReport is what a new program says when it serves.
const readyReport = "ready\n"

// Upgrade starts a program with the sockets of s, and waits until it says
// that it serves them (Ready). Then both do, and the caller is to stop. With
// an error the new program has ended and the caller goes on serving. It gives
// the number of the new process.
//
// The new program has the rights of this one: what Drop and Sandbox took away
// does not come back.
func (s *Sockets) Upgrade(ctx context.Context, program string, args []string) (pid int, err error) {
	what, err := json.Marshal(s.open)
	if err != nil {
		return 0, err
	}
	files, err := s.files()
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return 0, fmt.Errorf("the sockets cannot be handed over: %w", err)
	}
	report, ready, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer report.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(successorEnv(os.Environ()), socketEnv+"="+string(what))
	cmd.ExtraFiles = append([]*os.File{ready}, files...)
	err = cmd.Start()
	ready.Close()
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", program, err)
	}
	if err := awaitReady(ctx, report); err != nil {
		_ = cmd.Process.Kill() // mostly it has ended
		if ended := cmd.Wait(); ended != nil {
			return 0, fmt.Errorf("the new program: %w (%w)", err, ended)
		}
		return 0, fmt.Errorf("the new program: %w", err)
	}
	pid = cmd.Process.Pid
	go cmd.Wait() // where it ends before this process does, it leaves no zombie
	return pid, nil
}

// successorEnv leaves out what is meant for this process.
func successorEnv(env []string) []string {
	var kept []string
	for _, v := range env {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", socketEnv:
		default:
			kept = append(kept, v)
		}
	}
	return kept
}

// awaitReady reads what the new program reports.
func awaitReady(ctx context.Context, report *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, upgradeTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { report.SetReadDeadline(time.Now()) })
	defer stop()
	text, err := io.ReadAll(io.LimitReader(report, maxReport))
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("it was not ready in time: %w", ctx.Err())
	case err != nil:
		return err
	case string(text) == readyReport:
		return nil
	case len(text) == 0:
		return errors.New("it ended before it was ready")
	}
	return errors.New(strings.TrimSpace(string(text)))
}

// Ready tells the program that this one replaces that it serves, and reports
// whether there is one. With an error it says instead why it does not. Later
// calls do nothing.
func (s *Sockets) Ready(failure error) bool {
	if s.ready == nil {
		return false
	}
	text := readyReport
	if failure != nil {
		text = failure.Error()
		text = text[:min(len(text), maxReport)]
	}
	_, _ = io.WriteString(s.ready, text) // who does not read it has ended
	s.ready.Close()
	s.ready = nil
	return true
}

// Program gives the path by which this program was started, for Upgrade: a
// new file in its place, or a link to one, is the new program. Call it before
// the working directory changes.
func Program() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return os.Executable()
	}
	return filepath.Abs(path)
}
