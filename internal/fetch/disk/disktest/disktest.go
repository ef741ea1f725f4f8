// Package disktest has a disk.FS for tests: the file system of the machine, on
// which one call fails, or from one call on nothing happens any more, and which
// can lose what was not synced. Each does that to every call of a test in turn.
package disktest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// Fault is what goes wrong at one call.
type Fault struct {
	At   int   // the call, counted from 1; 0: none
	Err  error // nil: EIO
	Dies bool  // every later call fails too, as if the process had been killed

	// Short has a Write write half of its octets before it fails.
	Short bool
}

// ErrDead is the error of calls behind one at which the process died.
var ErrDead = errors.New("disktest: the process is dead")

// Disk is a file system with a fault. Make it with New.
type Disk struct {
	tb    testing.TB
	fault Fault
	kept  func() string // a folder with second names of files, for PowerLoss

	mu    sync.Mutex
	calls int
	hit   string // the call that failed
	dead  bool
	open  map[*handle]bool
	names []change         // that are not durable, oldest first
	files map[uint64]*file // by inode: what is written to, or not durable
	kepts int              // second names that were given
}

var _ disk.FS = (*Disk)(nil)

// New makes a Disk for a test. Its syncs take no time: what they make durable
// matters to PowerLoss alone.
func New(tb testing.TB, fault Fault) *Disk {
	d := &Disk{tb: tb, fault: fault, kept: sync.OnceValue(tb.TempDir), open: make(map[*handle]bool), files: make(map[uint64]*file)}
	if d.fault.Err == nil {
		d.fault.Err = syscall.EIO
	}
	tb.Cleanup(d.Close)
	return d
}

// Each runs f with the fault at the first call, then at the second, until f
// ends before the fault comes. It gives the number of calls.
func Each(tb testing.TB, fault Fault, f func(d *Disk)) int {
	tb.Helper()
	for fault.At = 1; !tb.Failed(); fault.At++ {
		d := New(tb, fault)
		f(d)
		d.Close()
		if !d.Hit() {
			return d.calls
		}
	}
	return 0
}

// Hit tells whether the fault came.
func (d *Disk) Hit() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hit != ""
}

// Calls is how many calls there were.
func (d *Disk) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// String says what fails, for messages of tests.
func (d *Disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	what := "no call fails"
	if d.hit != "" {
		what = fmt.Sprintf("call %d, %s: %v", d.fault.At, d.hit, d.fault.Err)
		if d.fault.Dies {
			what += ", and the process dies"
		}
	}
	return what
}

// call counts a call, and fails if it is its turn. The mutex is held when it
// returns nil: the call is to be made under it.
func (d *Disk) call(op, name string) error { return d.callOr(op, name, nil) }

// callOr does the same. A call that fails is made in part first.
func (d *Disk) callOr(op, name string, part func()) error {
	d.mu.Lock()
	if d.dead {
		d.mu.Unlock()
		return &fs.PathError{Op: op, Path: name, Err: ErrDead}
	}
	if d.calls++; d.calls != d.fault.At {
		return nil
	}
	defer d.mu.Unlock()
	d.hit = op + " " + filepath.Base(name)
	if part != nil {
		part()
	}
	if d.fault.Dies {
		d.die()
	}
	return &fs.PathError{Op: op, Path: name, Err: d.fault.Err}
}

// die ends the process as the kernel sees it: files are closed, and with them
// their locks are given back.
func (d *Disk) die() {
	d.dead = true
	for h := range d.open {
		h.File.Close()
	}
}

// OpenFile implements disk.FS.
func (d *Disk) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	if err := d.call("open", name); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	_, missing := os.Lstat(name)
	f, err := disk.OS{}.OpenFile(name, flag&^os.O_TRUNC, perm)
	if err != nil {
		return nil, err
	}
	if missing != nil {
		d.changed(filepath.Dir(name), func() { os.Remove(name) })
	}
	opened := &handle{File: f, d: d}
	d.open[opened] = true
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		opened.file = d.track(name)
		if flag&os.O_TRUNC != 0 {
			opened.file.dirty = true
			err = f.Truncate(0)
		}
	}
	return opened, err
}

// Link implements disk.FS.
func (d *Disk) Link(from, to string) error {
	if err := d.call("link", to); err != nil {
		return err
	}
	defer d.mu.Unlock()
	err := os.Link(from, to)
	if err == nil {
		d.changed(filepath.Dir(to), func() { os.Remove(to) })
	}
	return err
}

// Rename implements disk.FS.
func (d *Disk) Rename(from, to string) error {
	if err := d.call("rename", to); err != nil {
		return err
	}
	defer d.mu.Unlock()
	moved, replaced := d.keep(from), d.keep(to)
	err := os.Rename(from, to)
	if err == nil {
		d.changed(filepath.Dir(to), func() {
			os.Remove(to)
			os.Link(replaced, to) // which fails where nothing was replaced
		})
		d.changed(filepath.Dir(from), func() { os.Link(moved, from) })
	}
	return err
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	if err := d.call("remove", name); err != nil {
		return err
	}
	defer d.mu.Unlock()
	kept := d.keep(name)
	err := os.Remove(name)
	if err == nil {
		d.changed(filepath.Dir(name), func() { os.Link(kept, name) })
	}
	return err
}

// MkdirAll implements disk.FS.
func (d *Disk) MkdirAll(name string, perm fs.FileMode) error {
	if err := d.call("mkdir", name); err != nil {
		return err
	}
	defer d.mu.Unlock()
	first := ""
	for dir := name; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil {
			break
		}
		first = dir
	}
	err := os.MkdirAll(name, perm)
	if err == nil && first != "" {
		d.changed(filepath.Dir(first), func() { os.RemoveAll(first) })
	}
	return err
}

// Names implements disk.FS.
func (d *Disk) Names(dir string) ([]string, error) {
	if err := d.call("list", dir); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	return disk.OS{}.Names(dir)
}

// Lstat implements disk.FS.
func (d *Disk) Lstat(name string) (fs.FileInfo, error) {
	if err := d.call("lstat", name); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	return os.Lstat(name)
}

// SyncDir implements disk.FS.
func (d *Disk) SyncDir(name string) error {
	if err := d.call("sync folder", name); err != nil {
		return err
	}
	defer d.mu.Unlock()
	if _, err := os.Stat(name); err != nil {
		return err
	}
	d.durable(name)
	return nil
}
