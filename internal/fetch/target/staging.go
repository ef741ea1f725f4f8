package target

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// idField is the header field that tells a message's id, in the first line of
// what all targets get but a Maildir, where the file's name tells it. It is what
// Sieve's duplicate test (RFC 7352) or a script can know a message by that
// comes a second time.
const idField = "X-Poplin-Id"

// idLine gives the line with that field.
func idLine(id string) string { return idField + ": " + id + "\n" }

// staging is a folder in which messages are staged, a file each.
type staging struct {
	fs     disk.FS
	dir    string
	suffix string // of names, behind the id
}

// newStaging makes a staging in a folder that other targets may use too.
func newStaging(fsys disk.FS, dir, name string) (staging, error) {
	if dir == "" {
		return staging{}, fmt.Errorf("%s: no folder is given to stage messages in", name)
	}
	if err := disk.MakeFolder(fsys, dir); err != nil {
		return staging{}, fmt.Errorf("%s: messages cannot be staged: %w", name, err)
	}
	sum := sha256.Sum256([]byte(name))
	s := staging{fsys, dir, "." + hex.EncodeToString(sum[:4])}
	return s, nil
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

// stale is the age at which what is staged belongs to no run any more.
const stale = 36 * time.Hour

// Sweep takes away what runs that were killed left, but for what is to be kept:
// that of targets which are no more too.
func (s staging) Sweep(keep func(id string) bool) {
	names, err := s.fs.Names(s.dir)
	if err != nil {
		return // there is none yet, or the next use shows what is wrong
	}
	for _, name := range names {
		id, _, _ := strings.Cut(name, ".")
		if len(name) != len(id)+len(s.suffix) || len(id) != 32 || keep(id) {
			continue
		}
		if info, err := s.fs.Lstat(filepath.Join(s.dir, name)); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > stale {
			s.fs.Remove(filepath.Join(s.dir, name))
		}
	}
}

// Discard implements Target.
func (s staging) Discard(id string) { s.fs.Remove(s.path(id)) }

// open opens a staged message.
func (s staging) open(m *Message) (disk.File, error) {
	return s.fs.OpenFile(s.path(m.ID), os.O_RDONLY|unix.O_NOFOLLOW, 0)
}

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

// whole tells whether the message is staged as it was. What cannot be read is
// not: it is retrieved again.
func (s staging) whole(m *Message) bool {
	same, err := holds(s.fs, s.path(m.ID), m)
	return err == nil && same
}

// settle is Settle where nothing tells whether the message arrived.
func (s staging) settle(m *Message) Outcome {
	if s.whole(m) {
		return Staged
	}
	return Absent
}

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
