// Package disk is the file system as retrieval uses it: an interface, so that
// tests can fail each call of it, and OS, which is the real one.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// FS is a file system. Names are those of package os.
type FS interface {
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Link(from, to string) error
	Rename(from, to string) error
	Remove(name string) error
	MkdirAll(name string, perm fs.FileMode) error
	Names(dir string) ([]string, error) // in no order
	Lstat(name string) (fs.FileInfo, error)
	SyncDir(name string) error // makes the names in it durable
}

// File is an open file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.Seeker
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
	Sync() error // makes the content durable; a failed one is never tried again on the same File
	Truncate(size int64) error

	// Lock takes the kernel's lock on the whole file, flock(2), which ends with
	// the File. It does not wait: ErrLocked says that another process has it.
	Lock() error

	// LockRecord does the same with fcntl(2), which keeps out other programs
	// that deliver mail. The File must be open for writing.
	LockRecord() error
}

// ErrLocked is the error of Lock where another process has the lock.
var ErrLocked = errors.New("another process has locked it")

// OS is the file system of the machine.
type OS struct{}

var _ FS = OS{}

// OpenFile implements FS.
func (OS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag|unix.O_CLOEXEC, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Link implements FS.
func (OS) Link(from, to string) error { return os.Link(from, to) }

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// MkdirAll implements FS.
func (OS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

// Names implements FS.
func (OS) Names(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// Lstat implements FS.
func (OS) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// SyncDir implements FS.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type osFile struct{ *os.File }

// Sync implements File. Times need not be durable.
func (f osFile) Sync() error {
	return retried(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// Lock implements File.
func (f osFile) Lock() error {
	err := retried(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// LockRecord implements File. The lock is that of the open file: another File of
// the same process does not get it, and closing that one does not end it. For
// programs that take the older kind of lock it is the same lock.
func (f osFile) LockRecord() error {
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	err := retried(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole) })
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}

// retried repeats a call that a signal interrupted.
func retried(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// syncers is how many syncs run at once: the journal of the file system takes
// them together.
const syncers = 16

// SyncAll makes the contents of files durable, many at once, and gives an error
// for each.
func SyncAll(files []File) []error {
	errs := make([]error, len(files))
	if len(files) == 1 {
		errs[0] = files[0].Sync()
		return errs
	}
	var wait sync.WaitGroup
	turns := make(chan int, len(files))
	for i := range files {
		turns <- i
	}
	close(turns)
	for range min(syncers, len(files)) {
		wait.Go(func() {
			for i := range turns {
				errs[i] = files[i].Sync()
			}
		})
	}
	wait.Wait()
	return errs
}

// Replace writes a whole file: under another name first, so that there is
// always the old content or the new, and durably.
func Replace(fsys FS, dir, name string, perm fs.FileMode, content []byte) (err error) {
	temp := filepath.Join(dir, "."+name+".new")
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run that was killed
		return err
	}
	f, err := fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = fsys.Rename(temp, filepath.Join(dir, name))
	}
	if err != nil {
		fsys.Remove(temp)
		return err
	}
	return fsys.SyncDir(dir)
}

// MakeFolder makes a folder and those above it, durably.
func MakeFolder(fsys FS, dir string) error {
	info, err := fsys.Lstat(dir)
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return nil // the user's own arrangement; what it points to shows when it is used
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "open", Path: dir, Err: errors.New("it is no folder")}
	case err == nil:
		return SyncParent(fsys, dir) // whoever made it may have been killed before that
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := MakeFolder(fsys, parent); err != nil {
		return err
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// SyncParent makes the name of a file or folder durable. Where the user may not
// read the folder above, somebody else made the name, and not now.
func SyncParent(fsys FS, name string) error {
	if err := fsys.SyncDir(filepath.Dir(name)); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}
