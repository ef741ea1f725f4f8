package maildir

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// system is what this package asks of the kernel below a Maildir. Every name
// is one component, looked up in an open directory, and no symbolic link is
// followed: so no call leaves the directory it names. It is an interface for
// the tests, which let each call fail in its turn.
type system interface {
	open(dir int, name string, flags int) (fd int, err error)
	close(fd int) error
	read(fd int, p []byte) (int, error)
	write(fd int, p []byte) (int, error)
	fsync(fd int) error
	flock(fd int) error // exclusive, without waiting
	readDir(fd int, buf []byte) (int, error)
	fstat(fd int, st *unix.Stat_t) error
	lstat(dir int, name string, st *unix.Stat_t) error
	mkdir(dir int, name string) error
	link(dir int, name string, newDir int, newName string) error
	rename(dir int, name string, newDir int, newName string) error
	unlink(dir int, name string) error
	rmdir(dir int, name string) error
	setTime(dir int, name string, mtime int64) error // nanoseconds since 1970
}

// kernel is the system of the machine.
type kernel struct{}

// Modes of what this package makes: mail is nobody else's business.
const (
	fileMode   = 0o600
	folderMode = 0o700
)

// open opens without waiting for the other end of a FIFO.
func (kernel) open(dir int, name string, flags int) (fd int, err error) {
	flags |= unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	err = again(func() error {
		fd, err = unix.Openat(dir, name, flags, fileMode)
		return err
	})
	return fd, named("open", name, err)
}

func (kernel) read(fd int, p []byte) (n int, err error) {
	err = again(func() error { n, err = unix.Read(fd, p); return err })
	return max(n, 0), err
}

func (kernel) write(fd int, p []byte) (n int, err error) {
	err = again(func() error { n, err = unix.Write(fd, p); return err })
	return max(n, 0), err
}

func (kernel) readDir(fd int, buf []byte) (n int, err error) {
	err = again(func() error { n, err = unix.ReadDirent(fd, buf); return err })
	return max(n, 0), err
}

func (kernel) flock(fd int) error {
	return again(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}

func (kernel) fstat(fd int, st *unix.Stat_t) error {
	return again(func() error { return unix.Fstat(fd, st) })
}

func (kernel) lstat(dir int, name string, st *unix.Stat_t) error {
	return named("lstat", name, again(func() error {
		return unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

func (kernel) mkdir(dir int, name string) error {
	return named("mkdir", name, unix.Mkdirat(dir, name, folderMode))
}

func (kernel) link(dir int, name string, newDir int, newName string) error {
	return named("link", newName, unix.Linkat(dir, name, newDir, newName, 0))
}

func (kernel) rename(dir int, name string, newDir int, newName string) error {
	return named("rename", newName, unix.Renameat(dir, name, newDir, newName))
}

func (kernel) unlink(dir int, name string) error {
	return named("unlink", name, unix.Unlinkat(dir, name, 0))
}

func (kernel) rmdir(dir int, name string) error {
	return named("rmdir", name, unix.Unlinkat(dir, name, unix.AT_REMOVEDIR))
}

func (kernel) setTime(dir int, name string, mtime int64) error {
	t := unix.NsecToTimespec(mtime)
	return named("utimes", name, unix.UtimesNanoAt(dir, name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW))
}

// fsync is not tried again after any error: what a failed one left out is
// forgotten by the kernel, and a second success would mean nothing.
func (kernel) fsync(fd int) error { return unix.Fsync(fd) }

// close is not tried again either: the descriptor is free whatever it says.
func (kernel) close(fd int) error { return unix.Close(fd) }

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// named adds to an error what it happened to.
func named(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// missing tells whether err says that there is no such file.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// noLinks tells whether err says that a file cannot have a second name here.
func noLinks(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS)
}

// writeAll writes all of p.
func writeAll(sys system, fd int, p []byte) error {
	for len(p) > 0 {
		n, err := sys.write(fd, p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
