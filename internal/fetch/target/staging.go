package target

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// staging is a folder in which messages are staged, a file each.
type staging struct {
	fs     disk.FS
	dir    string
	suffix string // of names, behind the id
}

func (s staging) path(id string) string { return filepath.Join(s.dir, id+s.suffix) }

// Stage implements Target.
func (s staging) Stage(id string) (*Stage, error) {
	path := s.path(id)
	open := func() (disk.File, error) {
		return s.fs.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	}
	f, err := open()
	if errors.Is(err, fs.ErrExist) {
		if err = s.fs.Remove(path); err == nil {
			f, err = open()
		}
	}
	if err != nil {
		return nil, err
	}
	return NewStage(f, func() { s.fs.Remove(path) }), nil
}

// Discard implements Target.
func (s staging) Discard(id string) { s.fs.Remove(s.path(id)) }

// sync makes staged messages durable.
func (s staging) sync(batch []*Message) []error {
	errs := make([]error, len(batch))
	files := make([]disk.File, 0, len(batch))
	at := make([]int, 0, len(batch))
	for i, m := range batch {
		f, err := s.fs.OpenFile(s.path(m.ID), os.O_WRONLY|unix.O_NOFOLLOW, 0)
		if errs[i] = err; err == nil {
			files, at = append(files, f), append(at, i)
		}
	}
	for i, err := range disk.SyncAll(files) {
		if closeErr := files[i].Close(); err == nil {
			err = closeErr
		}
		errs[at[i]] = err
	}
	return errs
}

// whole tells whether the message is staged as it was.
func (s staging) whole(m *Message) (bool, error) { return holds(s.fs, s.path(m.ID), m) }

// holds tells whether a file holds the message, and nothing else.
func holds(fsys disk.FS, path string, m *Message) (bool, error) {
	info, err := fsys.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.Mode().IsRegular() || info.Size() != m.Octets {
		return false, err
	}
	f, err := fsys.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, m.Octets+1)); err != nil {
		return false, err
	}
	return Sum(sum.Sum(nil)[:len(Sum{})]) == m.Sum, nil
}
