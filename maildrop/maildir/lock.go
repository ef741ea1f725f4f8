package maildir

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// lockName is the file that a session locks.
const lockName = "poplin.lock"

// lockTries bounds how often a lock file that vanishes is made again.
const lockTries = 10

// lock takes the session lock and gives the descriptor that holds it. The
// kernel lets go of it when the descriptor is closed, and so when the process
// dies. The file stays: a session that deleted it would leave others holding
// a lock on a file that nobody sees.
func (f *folder) lock() (int, error) {
	for range lockTries {
		fd, err := f.sys.open(f.top, lockName, unix.O_RDWR|unix.O_CREAT)
		if err != nil {
			return -1, f.stateError(lockName, err)
		}
		same, err := f.tryLock(fd)
		switch {
		case err == nil && same:
			return fd, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			err = fmt.Errorf("maildir: %s: %w", f.name, maildrop.ErrInUse)
		case err != nil:
			err = f.stateError(lockName, err)
		}
		f.sys.close(fd)
		if err != nil {
			return -1, err
		}
	}
	return -1, temporary("session lock of "+f.name, errors.New("another program keeps deleting "+lockName))
}

// tryLock locks fd, and tells whether it is still the file that others find
// under the name: somebody may have deleted it.
func (f *folder) tryLock(fd int) (same bool, err error) {
	var held, found unix.Stat_t
	if err := f.sys.fstat(fd, &held); err != nil {
		return false, err
	}
	if !regular(&held) {
		return false, errNotFile
	}
	if err := f.sys.flock(fd); err != nil {
		return false, err
	}
	if err := f.sys.lstat(f.top, lockName, &found); err != nil {
		if missing(err) {
			err = nil
		}
		return false, err
	}
	return fileIDOf(&found) == fileIDOf(&held), nil
}

// regular tells whether st is of a regular file.
func regular(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
