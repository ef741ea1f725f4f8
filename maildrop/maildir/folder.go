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

	// order is how messages that were taken in follow each other, by UID. It
	// is nil where none were.
	order map[string]int

	terms
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
	path := filepath.Join(append([]string{s.path.root}, parts...)...)
	root, err := os.OpenRoot(s.path.root)
	if missing(err) {
		return nil, temporary(fmt.Sprintf("%s is missing: mount its disk, or make it", s.path.root), err)
	} else if err != nil {
		return nil, temporary("root of the Maildirs", err)
	}
	for _, part := range parts {
		below, err := s.descend(root, part, create)
		root.Close()
		if err != nil {
			return nil, explain(path, err)
		}
		root = below
	}
	defer root.Close()
	return s.openParts(root, path, create)
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

// descend opens a folder in root. An os.Root follows symbolic links that stay
// inside it, so that one user's could lead to another's mail: hence the looks
// before and behind.
func (s *Store) descend(root *os.Root, part string, create bool) (*os.Root, error) {
	if create {
		if err := root.Mkdir(part, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := s.syncRoot(root); err != nil {
			return nil, err
		}
	}
	before, err := root.Lstat(part)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, fmt.Errorf("%s: %w", part, errNotFolder)
	}
	below, err := root.OpenRoot(part)
	if err != nil {
		return nil, err
	}
	behind, err := below.Stat(".")
	if err == nil && !os.SameFile(before, behind) {
		err = fmt.Errorf("%s: %w", part, errNotFolder)
	}
	if err != nil {
		below.Close()
		return nil, err
	}
	return below, nil
}

// syncRoot makes the entries of a folder durable.
func (s *Store) syncRoot(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return s.sys.fsync(int(dir.Fd()))
}

// openParts opens what is in the Maildir that root is.
func (s *Store) openParts(root *os.Root, path string, create bool) (*folder, error) {
	top, err := root.Open(".")
	if err != nil {
		return nil, temporary("Maildir "+path, err)
	}
	defer top.Close()
	f := &folder{name: path, sys: s.sys, top: -1, dirs: [2]int{-1, -1}, terms: s.terms}
	f.top, err = s.sys.open(int(top.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil && create {
		err = f.make()
	}
	if err != nil {
		f.close()
		return nil, explain(path, err)
	}
	return f, nil
}

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
		parent, err := os.OpenRoot(filepath.Dir(absent[i]))
		if err == nil {
			err = s.syncRoot(parent)
			parent.Close()
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
