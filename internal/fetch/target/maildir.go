package target

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

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
	dir  string
	read map[string]*listing // by folder
}

// listing is what a folder held when it was read.
type listing struct {
	changed time.Time         // when a name came or went last; zero: it may have changed unseen
	names   map[string]string // of messages from here, by id
}

// maildirFolders are the folders of a Maildir, after itself.
var maildirFolders = []string{"", "tmp", "new", "cur"}

// OpenMaildir opens a Maildir, and makes it where there is nothing.
func OpenMaildir(fsys disk.FS, dir string) (*Maildir, error) {
	dir, err := filepath.Abs(dir)
	for _, sub := range maildirFolders {
		if err == nil {
			err = disk.MakeFolder(fsys, filepath.Join(dir, sub))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the Maildir %s cannot be used: %w", dir, err)
	}
	d := &Maildir{staging: staging{fsys, filepath.Join(dir, "tmp"), maildirSuffix}, dir: dir, read: make(map[string]*listing)}
	return d, nil
}

var _ Target = (*Maildir)(nil)

// Name implements Target.
func (d *Maildir) Name() string { return "maildir:" + d.dir }

// Batch implements Target.
func (m *Maildir) Batch() int { return batchMessages }

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
		_, missing := d.fs.Lstat(to)
		if errors.Is(missing, fs.ErrNotExist) {
			return d.fs.Rename(d.path(m.ID), to)
		}
		if missing == nil {
			err = fs.ErrExist
		}
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	same, err := holds(d.fs, to, m)
	if err != nil || same {
		return err
	}
	if where, err := d.find(m.ID); err != nil {
		return err
	} else if where != "" && where != to {
		return nil // a mail program took it to cur/ this moment
	}
	return &Refusal{Reason: to + " is there already and holds something else: move it away"}
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
	return d.settle(m), nil
}

// find gives the path of a message in new/ or cur/, where it has flags behind
// its name; empty where it is in neither. Mail programs move messages from
// new/ to cur/, so that new/ is read first.
func (d *Maildir) find(id string) (string, error) {
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(d.dir, sub)
		names, err := d.list(dir)
		if err != nil {
			return "", err
		}
		if name, there := names[id]; there {
			return filepath.Join(dir, name), nil
		}
	}
	return "", nil
}

// A listing is kept while the folder does not change, since many messages may
// have to be looked for. What happens in the tick of the clock in which the
// folder was read may not show in its time: a time is only relied on when it is
// old.
const listingAge = 2 * time.Second

// listingRounds is how often a folder is read that changes meanwhile. One read
// may miss a message that is renamed during it; not several.
const listingRounds = 5

// list gives the names of the messages from here in a folder, by id.
func (d *Maildir) list(dir string) (map[string]string, error) {
	info, err := d.fs.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if known := d.read[dir]; known != nil && !known.changed.IsZero() && known.changed.Equal(info.ModTime()) {
		return known.names, nil
	}
	l := &listing{names: make(map[string]string)}
	for range listingRounds {
		all, err := d.fs.Names(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range all {
			base, _, _ := strings.Cut(name, ":")
			if id, ours := strings.CutSuffix(base, maildirSuffix); ours {
				l.names[id] = name
			}
		}
		before := info.ModTime()
		if info, err = d.fs.Lstat(dir); err != nil {
			return nil, err
		}
		if info.ModTime().Equal(before) {
			if info.IsDir() && time.Since(before) > listingAge { // a symbolic link has a time of its own
				l.changed = before
			}
			break
		}
	}
	d.read[dir] = l
	return l.names, nil
}

// Close implements Target.
func (d *Maildir) Close() error { return nil }
