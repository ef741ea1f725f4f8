package disk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds whatever is waited for: far more than it takes on a slow
// machine.
const patience = 3 * time.Minute

// Device is a Log as a file that the kernel reads and writes.
type Device struct {
	dir    string // where nbdfuse shows it
	fuse   *exec.Cmd
	says   strings.Builder // what nbdfuse says
	served chan error      // how serve has ended
	ended  chan struct{}   // closed: nbdfuse has ended
}

// Open starts nbdfuse on l. The file is in dir, an empty folder.
func Open(ctx context.Context, l *Log, dir string) (*Device, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "nbd"), os.NewFile(uintptr(pair[1]), "nbd")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, err
	}
	d := &Device{dir: dir, served: make(chan error, 1), ended: make(chan struct{})}
	d.fuse = exec.Command("nbdfuse", d.File(), "--fd", "3")
	d.fuse.ExtraFiles = []*os.File{theirs}
	d.fuse.Stdout, d.fuse.Stderr = &d.says, &d.says
	d.fuse.SysProcAttr = Child()
	if err := d.fuse.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	go func() { d.served <- l.serve(conn) }()
	go func() {
		d.fuse.Wait() // what it says counts
		close(d.ended)
	}()
	if err := d.wait(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Child has a program end with this one, however that ends, and keeps Ctrl-C
// from it, so that things end in their order.
func Child() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// File is the device's path.
func (d *Device) File() string { return filepath.Join(d.dir, "disk") }

// wait returns when the file is there.
func (d *Device) wait(ctx context.Context) error {
	end := time.After(patience)
	for {
		if _, err := os.Stat(d.File()); err == nil {
			return nil
		}
		select {
		case <-d.ended:
			return fmt.Errorf("nbdfuse has ended: %s", d.says.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return errors.New("nbdfuse shows no file")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Close takes the file away. No file system may be mounted from it any more.
func (d *Device) Close() error {
	err := Unmount(d.dir)
	if errors.Is(err, unix.EINVAL) { // it never was mounted
		d.fuse.Process.Kill()
		err = nil
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.fuse.Process.Kill()
		<-d.ended
		err = errors.Join(err, errors.New("nbdfuse does not end"))
	}
	return errors.Join(err, <-d.served)
}
