package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is an open Maildir.
type folder struct {
	name string // its path, for messages to people
	sys  system
	top  int    // the folder itself
	dirs [2]int // new/ and cur/, by place; -1 until openDirs

	terms
}

// fileID tells one file or folder from all others that there are.
type fileID struct{ dev, ino uint64 }

func fileIDOf(st *unix.Stat_t) fileID { return fileID{uint64(st.Dev), st.Ino} }

// id gives that of the folder itself.
func (f *folder) id() (fileID, error) {
	var st unix.Stat_t
	err := f.sys.fstat(f.top, &st)
	return fileIDOf(&st), err
}

// place tells new/ from cur/.
type place uint8

const (
	inNew place = iota
	inCur
)

func (p place) String() string { return [...]string{"new", "cur"}[p] }

// openFolder opens the Maildir at parts below the root, with new/ and cur/.
// With create, what is missing below the root is made, durably.
func (s *Store) openFolder(parts []string, create bool) (*folder, error) {
	f, err := s.openTop(parts, create)
	if err != nil {
		return nil, err
	}
	if err := f.openDirs(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// openTop opens the folder at parts, and leaves new/ and cur/ to openDirs.
func (s *Store) openTop(parts []string, create bool) (*folder, error) {
	top, err := s.reach(parts, create)
	if err != nil {
		return nil, err
	}
	f := &folder{name: s.pathOf(parts), sys: s.sys, top: top, dirs: [2]int{-1, -1}, terms: s.terms}
	if create {
		if err := f.make(); err != nil {
			f.close()
			return nil, explain(f.name, err)
		}
	}
	return f, nil
}

// pathOf gives the path of a Maildir.
func (s *Store) pathOf(parts []string) string {
	return filepath.Join(append([]string{s.path.root}, parts...)...)
}

// reach opens the folder at parts. Each is looked up in the folder before it,
// and no symbolic link is followed: one user's could lead to another's mail.
func (s *Store) reach(parts []string, create bool) (int, error) {
	dir, err := s.openRoot(s.path.root)
	if missing(err) {
		return -1, temporary(fmt.Sprintf("%s is missing: mount its disk, or make it", s.path.root), err)
	} else if err != nil {
		return -1, temporary("root of the Maildirs", err)
	}
	for _, part := range parts {
		below, err := s.descend(dir, part, create)
		s.sys.close(dir)
		if err != nil {
			return -1, explain(s.pathOf(parts), err)
		}
		dir = below
	}
	return dir, nil
}

// openRoot opens a folder that is the administrator's business, so that
// symbolic links on the way to it are followed: the one that is not is ".".
func (s *Store) openRoot(path string) (int, error) {
	return s.sys.open(unix.AT_FDCWD, path+"/.", unix.O_RDONLY|unix.O_DIRECTORY)
}

// descend opens a folder in another one.
func (s *Store) descend(dir int, part string, create bool) (int, error) {
	if create {
		if err := s.sys.mkdir(dir, part); err != nil && !errors.Is(err, fs.ErrExist) {
			return -1, err
		}
		if err := s.sys.fsync(dir); err != nil {
			return -1, err
		}
	}
	return s.sys.open(dir, part, unix.O_RDONLY|unix.O_DIRECTORY)
}

// explain makes the error for a Maildir that cannot be opened.
func explain(path string, err error) error {
	switch {
	case missing(err):
		return temporary(fmt.Sprintf("no Maildir at %s: mount its disk, or create it with new/, cur/ and tmp/ in it", path), err)
	case errors.Is(err, errNotFolder), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return permanent(fmt.Sprintf("no Maildir at %s: put folders there, not files or symbolic links, which are not followed", path), err)
	}
	return temporary(fmt.Sprintf("Maildir %s", path), err)
}

// errNotFolder is the error where a folder should be and something else is.
var errNotFolder = errors.New("not a folder")

// openDirs opens new/ and cur/, if they are not open yet.
func (f *folder) openDirs() (err error) {
	for p := inNew; p <= inCur && err == nil; p++ {
		if f.dirs[p] < 0 {
			f.dirs[p], err = f.sys.open(f.top, p.String(), unix.O_RDONLY|unix.O_DIRECTORY)
		}
	}
	if err != nil {
		return explain(f.name, err)
	}
	return nil
}

// make makes what is missing in the folder. Where new/ and cur/ are, open takes
// the folder for a Maildir that is complete, even while another delivery makes
// it: so cur/ comes when the others are there durably.
func (f *folder) make() error {
	for _, names := range [][]string{{"tmp", "new"}, {"cur"}} {
		for _, name := range names {
			if err := f.sys.mkdir(f.top, name); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		if err := f.sys.fsync(f.top); err != nil {
			return err
		}
	}
	return nil
}

// makeRoot makes the root of the Maildirs and what is missing above it, each
// folder durably.
func (s *Store) makeRoot() error {
	var absent []string
	for path := s.path.root; ; path = filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			break
		} else if !missing(err) {
			return temporary("root of the Maildirs", err)
		}
		absent = append(absent, path)
	}
	for i := len(absent) - 1; i >= 0; i-- {
		if err := os.Mkdir(absent[i], folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return temporary("root of the Maildirs", err)
		}
		parent, err := s.openRoot(filepath.Dir(absent[i]))
		if err == nil {
			err = s.sys.fsync(parent)
			s.sys.close(parent)
		}
		if err != nil {
			return temporary("root of the Maildirs", err)
		}
	}
	return nil
}

// open opens the Maildir at parts, and makes it where Options.Create says so.
// Only Store.Create makes the root: see Options.Create.
func (s *Store) open(parts []string) (*folder, error) {
	f, err := s.openFolder(parts, false)
	if missing(err) && s.create {
		return s.openFolder(parts, true)
	}
	return f, err
}

// enter is open, but leaves new/ and cur/ to openDirs, once it has seen them: a
// session that only asks what there is needs them not.
func (s *Store) enter(parts []string) (*folder, error) {
	f, err := s.openTop(parts, false)
	if err == nil {
		if _, err = f.stamps(); err == nil {
			return f, nil
		}
		f.close()
		err = explain(f.name, err)
	}
	if missing(err) && s.create {
		return s.openFolder(parts, true)
	}
	return nil, err
}

// close closes the descriptors. Nothing was written through them, so their
// errors would say nothing.
func (f *folder) close() {
	for _, fd := range []*int{&f.top, &f.dirs[inNew], &f.dirs[inCur]} {
		if *fd >= 0 {
			f.sys.close(*fd)
			*fd = -1
		}
	}
}
