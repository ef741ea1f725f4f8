package disk

import (
	"io/fs"
	"os"
)

// Untouched is the file system of the machine for one who only looks: what
// would change names or folders does nothing and says that it went well, and no
// file is opened for writing.
type Untouched struct{ OS }

var _ FS = Untouched{}

// OpenFile implements FS.
func (u Untouched) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE|os.O_TRUNC) != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return u.OS.OpenFile(name, flag, perm)
}

// Link implements FS.
func (Untouched) Link(from, to string) error { return nil }

// Rename implements FS.
func (Untouched) Rename(from, to string) error { return nil }

// Remove implements FS.
func (Untouched) Remove(name string) error { return nil }

// MkdirAll implements FS.
func (Untouched) MkdirAll(name string, perm fs.FileMode) error { return nil }

// SyncDir implements FS.
func (Untouched) SyncDir(name string) error { return nil }
