package rounds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process took, with its children.
type usage struct {
	wall time.Duration
	cpu  time.Duration
	peak int64 // octets of memory, resident, of the largest process
	late bool  // it was stopped when the patience was at its end
}

// nobody is who runs programs that do not want to be root.
const nobody = 65534

// measure runs a command to its end, or for that long.
func measure(ctx context.Context, command []string, dir string, unprivileged bool, patience time.Duration) (u usage, err error) {
	cmd := exec.Command(command[0], command[1:]...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if unprivileged && os.Geteuid() == 0 {
		if err := give(dir, nobody); err != nil {
			return u, err
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return u, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	stop := func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	over := ctx.Done()
	for running := true; running; {
		select {
		case err = <-ended:
			running = false
		case <-look.C:
			u.peak = max(u.peak, peakOf(cmd.Process.Pid))
		case <-limit.C:
			u.late = true
			stop()
		case <-over:
			over = nil
			stop()
		}
	}
	u.wall = time.Since(begun)
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	switch {
	case ctx.Err() != nil:
		return u, ctx.Err()
	case err != nil && !u.late:
		return u, fmt.Errorf("%w\n...%s", err, output.Bytes()[max(0, output.Len()-2000):])
	}
	return u, nil
}

// lookEvery is how often the peak of memory is read. It is the kernel's own
// mark, so that only what grows after the last look is missed. What wait4 gives
// is of no use: it counts the memory of this program, which the process shared
// until it became another.
const lookEvery = 5 * time.Millisecond

// peakOf gives the most memory that a process, or one of its children, had.
func peakOf(pid int) (peak int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kB, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			peak = kB << 10
		}
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	for child := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			peak = max(peak, peakOf(n))
		}
	}
	return peak
}

// give makes a folder another user's, with all that is in it.
func give(dir string, uid int) error {
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, uid, uid))
	})
}
