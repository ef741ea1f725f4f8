package target

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// maildirSuffix ends the names of messages, so that nobody else's can be the
// same.
const maildirSuffix = ".poplin"

// Maildir puts messages into a Maildir. The name of a message's file follows
// from its id, so that it is there once however often a run was broken off.
// Files are written to tmp/ and linked into new/, and the other name goes when
// the journal has the message: until then it shows how far the delivery came.
type Maildir struct {
	staging
	dir string

	mu   sync.Mutex // of read
	read map[string]string
}

// maildirFolders are the folders of a Maildir.
var maildirFolders = []string{"tmp", "new", "cur"}

// OpenMaildir opens a Maildir, and makes it where there is nothing.
func OpenMaildir(fsys disk.FS, dir string) (*Maildir, error) {
	for _, sub := range maildirFolders {
		if err := makeFolder(fsys, filepath.Join(dir, sub)); err != nil {
			return nil, fmt.Errorf("the Maildir %s cannot be used: %w", dir, err)
		}
	}
	return &Maildir{staging: staging{fsys, filepath.Join(dir, "tmp"), maildirSuffix}, dir: dir}, nil
}

// makeFolder makes a folder and those above it, durably.
func makeFolder(fsys disk.FS, dir string) error {
	info, err := fsys.Lstat(dir)
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return nil // the user's own arrangement; what it points to shows when it is used
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "open", Path: dir, Err: errors.New("it is no folder")}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeFolder(fsys, parent); err != nil {
		return err
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

var _ Target = (*Maildir)(nil)

// Name implements Target.
func (d *Maildir) Name() string { return "maildir:" + d.dir }

// Prepare implements Target.
func (d *Maildir) Prepare(_ context.Context, batch []*Message) ([]string, []error) {
	return make([]string, len(batch)), d.sync(batch)
}

// Deliver implements Target: links first, and one sync for all.
func (d *Maildir) Deliver(ctx context.Context, batch []*Message) []error {
	errs := make([]error, len(batch))
	for i, m := range batch {
		if errs[i] = ctx.Err(); errs[i] == nil {
			errs[i] = d.link(m)
		}
	}
	if err := d.fs.SyncDir(filepath.Join(d.dir, "new")); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
	return errs
}

// link gives a staged message its name in new/. What has that name already is
// the message, or something else that is not touched.
func (d *Maildir) link(m *Message) error {
	to := filepath.Join(d.dir, "new", m.ID+maildirSuffix)
	err := d.fs.Link(d.path(m.ID), to)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) { // a file system without links
		if _, missing := d.fs.Lstat(to); errors.Is(missing, fs.ErrNotExist) {
			return d.fs.Rename(d.path(m.ID), to)
		}
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	same, err := holds(d.fs, to, m)
	if err == nil && !same {
		err = &Refusal{Reason: to + " is there already and holds something else: move it away"}
	}
	return err
}

// Settle implements Target.
func (d *Maildir) Settle(_ context.Context, m *Message, _ string) (Outcome, error) {
	where, err := d.find(m.ID)
	if err != nil {
		return Absent, err
	}
	if where != "" {
		// It may have come there a moment before the power failed.
		return Delivered, d.fs.SyncDir(filepath.Dir(where))
	}
	if whole, err := d.whole(m); err != nil || !whole {
		return Absent, err
	}
	return Staged, nil
}

// find gives the path of a message in new/ or cur/, where it has flags behind
// its name; empty where it is in neither. The folders are listed once.
func (d *Maildir) find(id string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read == nil {
		read := make(map[string]string)
		for _, sub := range []string{"new", "cur"} {
			dir := filepath.Join(d.dir, sub)
			names, err := d.fs.Names(dir)
			if err != nil {
				return "", err
			}
			for _, name := range names {
				base, _, _ := strings.Cut(name, ":")
				if id, ours := strings.CutSuffix(base, maildirSuffix); ours {
					read[id] = filepath.Join(dir, name)
				}
			}
		}
		d.read = read
	}
	return d.read[id], nil
}

// Close implements Target.
func (d *Maildir) Close() error { return nil }
