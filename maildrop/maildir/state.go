package maildir

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// readFile reads a file of the Maildir itself, of limit octets at most, and
// gives its stamp.
func (f *folder) readFile(name string, limit int64) ([]byte, stamp, error) {
	fd, err := f.sys.open(f.top, name, unix.O_RDONLY)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.sys.close(fd)
	var st unix.Stat_t
	if err := f.sys.fstat(fd, &st); err != nil {
		return nil, stamp{}, err
	}
	if !regular(&st) || st.Size > limit {
		return nil, stamp{}, errNotFile
	}
	// One octet more than the file has finds its end without growing.
	data := make([]byte, 0, st.Size+1)
	for {
		n, err := f.sys.read(fd, data[len(data):cap(data)])
		if err != nil {
			return nil, stamp{}, named("read", name, err)
		}
		if n == 0 || len(data)+n == cap(data) {
			return data[:len(data)+n], stampOf(&st), nil
		}
		data = data[:len(data)+n]
	}
}

// errNotFile is the error where a file of state should be.
var errNotFile = errors.New("it is not a regular file of a sensible size")

// stateError makes the error for a file or folder of the Maildir itself that
// cannot be used. What no waiting mends says what a person must do.
func (f *folder) stateError(name string, err error) error {
	path := f.name + "/" + name
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case slices.ContainsFunc([]error{errNotFile, unix.ELOOP, unix.ENOTDIR, unix.EISDIR, unix.ENXIO}, is):
		return permanent(path+" is of the wrong kind: move it away, or replace it", err)
	case slices.ContainsFunc([]error{unix.EACCES, unix.EPERM, unix.EROFS}, is):
		return permanent(path+" cannot be used: every login needs to write to the Maildir, so mount its disk for writing, "+
			"and give the Maildir and the files in it to the user that the server runs as", err)
	}
	return temporary(path, err)
}

// stampOf gives the stamp of a file.
func stampOf(st *unix.Stat_t) stamp {
	return stamp{ino: st.Ino, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
}

// replaceFile writes a file of the Maildir itself so that it is there with
// all of the data or as it was before; with durable, even when the power
// fails behind it. The session lock must be held: there is one temporary name.
func (f *folder) replaceFile(name string, data []byte, durable bool) error {
	temp := name + ".tmp"
	if err := f.sys.unlink(f.top, temp); err != nil && !missing(err) {
		return err
	}
	fd, err := f.sys.open(f.top, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	err = writeAll(f.sys, fd, data)
	if err == nil && durable {
		err = f.sys.fsync(fd)
	}
	if closeErr := f.sys.close(fd); err == nil {
		err = closeErr
	}
	if err == nil {
		err = f.sys.rename(f.top, temp, f.top, name)
	}
	if err != nil {
		f.sys.unlink(f.top, temp)
		return named("write", name, err)
	}
	if durable {
		return named("fsync", f.name, f.sys.fsync(f.top))
	}
	return nil
}
