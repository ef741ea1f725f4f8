package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// lockFile is the descriptor by which a command holds the lock of its
	// message: beyond those that scripts give numbers to.
	lockFile = 19

	// lockPoll is how often a lock is tried that somebody else has.
	lockPoll = 50 * time.Millisecond
)

// alone waits until no command of an earlier run has the message. It gives a
// file with the kernel's lock, which the command inherits: it has it still when
// this process is killed. Without that a script that looks whether there is a
// ticket would find none, while the one before it is making it.
func (c *Command) alone(ctx context.Context, id string) (*os.File, error) {
	// Not the message, which is staged anew where a run gives up waiting.
	f, err := os.OpenFile(c.lockPath(id), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Timeout,
		&Refusal{Reason: fmt.Sprintf("a command that an earlier run began for the message has not ended within %v, or has left a process behind", c.opts.Timeout)})
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			f.Close()
			return nil, fmt.Errorf("the message cannot be locked: %w", err)
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}

func (c *Command) lockPath(id string) string { return c.path(id + lockMark) }

// lockMark stands behind the id in the name of a lock.
const lockMark = ".lock"

// release gives the lock up, for processes too that the command has left.
func release(f *os.File) {
	os.Remove(f.Name())
	syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	f.Close()
}

// Sweep implements Target. Locks of runs that were killed go too, when nobody
// has them.
func (c *Command) Sweep(keep func(id string) bool) {
	c.staging.Sweep(keep)
	names, _ := c.fs.Names(c.dir)
	for _, name := range names {
		if !strings.HasSuffix(name, lockMark+c.suffix) {
			continue
		}
		f, err := os.OpenFile(filepath.Join(c.dir, name), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.Remove(f.Name())
		}
		f.Close()
	}
}
