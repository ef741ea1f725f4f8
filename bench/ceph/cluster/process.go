package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds whatever is waited for: far more than it takes on a slow
// machine.
const patience = 5 * time.Minute

// process is a program that runs until it is killed.
type process struct {
	name string
	log  string // path
	cmd  *exec.Cmd
	done chan struct{} // closed: it has ended
}

// start runs a program, whose output goes to DIR/log/NAME.out. It has a
// process group of its own, so that who interrupts this program does not end
// the others first; and when this program dies, the kernel kills them.
func start(dir, name, program string, args ...string) (*process, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(dir, "log", name+".out"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(path, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := launch(p.cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		p.cmd.Wait() // it was killed: that is no news
		close(p.done)
	}()
	return p, nil
}

// launch starts commands from one thread, which lasts as long as this program:
// the kernel takes the end of a thread for the death of the parent.
var launch = func() func(*exec.Cmd) error {
	type order struct {
		cmd *exec.Cmd
		err chan error
	}
	orders := make(chan order)
	var once sync.Once
	return func(cmd *exec.Cmd) error {
		once.Do(func() {
			go func() {
				runtime.LockOSThread()
				for o := range orders {
					o.err <- o.cmd.Start()
				}
			}()
		})
		o := order{cmd, make(chan error)}
		orders <- o
		return <-o.err
	}
}()

// find gives the path of a program. Servers are not on everybody's PATH.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil && !strings.Contains(program, "/") {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		return "", fmt.Errorf("%s is missing: `make test-ceph` as root installs ceph-mon, ceph-mgr, ceph-osd, radosgw and haproxy on Debian: %w", program, err)
	}
	return path, nil
}

// signal does nothing once the process has ended: its number may be another's.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s) // it may end at this moment
	}
}

// kill ends the process with SIGKILL, also while it is stopped, and returns
// when it has ended.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// trouble makes an error of what a process says about itself.
func (p *process) trouble(what string) error {
	text, _ := os.ReadFile(p.log) // without it there is less to say
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s %s; it says:\n%s", p.name, what, strings.Join(lines[max(0, len(lines)-20):], "\n"))
}

// await asks again and again until the answer is yes. It fails where the
// process ends.
func (p *process) await(ctx context.Context, what string, ready func(context.Context) bool) error {
	return wait(ctx, what, func(ctx context.Context) (bool, error) {
		if p.ended() {
			return false, p.trouble("has ended")
		}
		return ready(ctx), nil
	})
}

// wait asks again and again until the answer is yes.
func wait(ctx context.Context, what string, ready func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		yes, err := ready(ctx)
		if yes || err != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}
}

// run runs a program to its end and gives its output.
func run(ctx context.Context, program string, args ...string) ([]byte, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, ctx.Err())
		}
		return nil, fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, &out, &errs)
	}
	return out.Bytes(), nil
}
