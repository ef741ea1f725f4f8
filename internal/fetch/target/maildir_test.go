package target

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/disk/disktest"
)

func openMaildir(t *testing.T, dir string) *Maildir {
	t.Helper()
	d, err := OpenMaildir(disktest.New(t, disktest.Fault{}), dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestMaildirFaults: whatever call fails, with whatever outcome, each message is
// there once and whole in the end, and nothing is left in tmp/.
func TestMaildirFaults(t *testing.T) {
	texts := letters()[:3]
	testFaults(t, true, texts, func(t *testing.T) (func(disk.FS) (Target, error), func() string) {
		dir := filepath.Join(t.TempDir(), "a", "mail")
		open := func(fsys disk.FS) (Target, error) { return OpenMaildir(fsys, dir) }
		return open, func() string {
			if left := unswept(t, filepath.Join(dir, "tmp"), texts, open); left != "" {
				return left
			}
			return holdsAll(append(files(t, filepath.Join(dir, "new")), files(t, filepath.Join(dir, "cur"))...), texts)
		}
	})
}

// TestMaildirMoved: a mail program takes a message to cur/, and changes its
// flags, at any time; it is known there.
func TestMaildirMoved(t *testing.T) {
	dir := t.TempDir()
	d := openMaildir(t, dir)
	batch, notes := prepared(t, d, "one\n", "two\n", "three\n")
	settled(t, d, batch[0], notes[0], Staged) // the folders have been read
	if err := errors.Join(d.Deliver(t.Context(), batch[:2])...); err != nil {
		t.Fatal(err)
	}
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	rename("new/"+id(0)+".poplin", "cur/"+id(0)+".poplin:2,S")
	for _, m := range batch[:2] {
		settled(t, d, m, "", Delivered)
	}
	settled(t, d, batch[2], "", Staged)
	rename("cur/"+id(0)+".poplin:2,S", "cur/"+id(0)+".poplin:2,RS")
	settled(t, d, batch[0], "", Delivered)
	d.Discard(id(2))
	settled(t, d, batch[2], "", Absent)
}

// movingFS moves a message from new/ to cur/ when it is looked at.
type movingFS struct {
	disk.FS
	dir    string
	when   string // the call
	listed string // the folder that was listed last
}

func (m *movingFS) move(call string) {
	if call == m.when {
		m.when = ""
		os.Rename(filepath.Join(m.dir, "new", id(0)+".poplin"), filepath.Join(m.dir, "cur", id(0)+".poplin:2,"))
	}
}

func (m *movingFS) Lstat(name string) (fs.FileInfo, error) {
	if strings.HasSuffix(name, ".poplin") {
		m.move("lstat")
	}
	return m.FS.Lstat(name)
}

func (m *movingFS) Names(dir string) ([]string, error) {
	if m.listed != "" && dir != m.listed {
		m.move("between the folders")
	}
	names, err := m.FS.Names(dir)
	if filepath.Base(dir) != "tmp" {
		m.listed = dir
		m.move("behind names")
	}
	return names, err
}

func (m *movingFS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	if strings.Contains(name, "/new/") {
		m.move("open")
	}
	return m.FS.OpenFile(name, flag, perm)
}

// TestMaildirMovedMeanwhile: that happens while Poplin looks at the message.
func TestMaildirMovedMeanwhile(t *testing.T) {
	for _, when := range []string{"lstat", "behind names", "between the folders"} {
		dir := t.TempDir()
		deliver(t, openMaildir(t, dir), "one\n")
		d, err := OpenMaildir(&movingFS{FS: disk.OS{}, dir: dir, when: when}, dir)
		if err != nil {
			t.Fatal(err)
		}
		batch, _ := prepared(t, d, "one\n")
		if when == "lstat" {
			if err := d.Deliver(t.Context(), batch)[0]; err != nil {
				t.Errorf("delivery of what is moved meanwhile: %v", err)
			}
		}
		settled(t, d, batch[0], "", Delivered)
		if all := append(files(t, filepath.Join(dir, "new")), files(t, filepath.Join(dir, "cur"))...); len(all) != 1 {
			t.Errorf("moved at %s: there are %d messages", when, len(all))
		}
	}
}

// TestMaildirListing: a listing is not relied on when it may be old.
func TestMaildirListing(t *testing.T) {
	dir := t.TempDir()
	d := openMaildir(t, dir)
	batch, _ := prepared(t, d, "one\n")
	for _, age := range []time.Duration{0, time.Hour} {
		cur := filepath.Join(dir, "cur")
		if err := os.Chtimes(cur, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		settled(t, d, batch[0], "", Staged)
		before, err := os.Stat(cur)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(cur, id(0)+".poplin:2,"), "one\n")
		if age == 0 { // in the same tick of the clock
			if err := os.Chtimes(cur, time.Time{}, before.ModTime()); err != nil {
				t.Fatal(err)
			}
		}
		settled(t, d, batch[0], "", Delivered)
		if err := os.Remove(filepath.Join(cur, id(0)+".poplin:2,")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMaildirTaken: what has the name of a message is not touched, and not taken
// for it.
func TestMaildirTaken(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "mine")
	for name, make := range map[string]func(path string) error{
		"a file":        func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
		"a folder":      func(path string) error { return os.Mkdir(path, 0o700) },
		"a pipe":        func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link":        func(path string) error { return os.Symlink(secret, path) },
		"a broken link": func(path string) error { return os.Symlink("nowhere", path) },
	} {
		dir := t.TempDir()
		d := openMaildir(t, dir)
		if err := make(filepath.Join(dir, "new", id(0)+".poplin")); err != nil {
			t.Fatal(err)
		}
		batch, _ := prepared(t, d, "one\n", "two\n")
		errs := d.Deliver(t.Context(), batch)
		var refused *Refusal
		if !errors.As(errs[0], &refused) || refused.Permanent || errs[1] != nil {
			t.Errorf("%s is in the way: %v", name, errs)
		}
		// And in tmp/, where messages are staged.
		if err := make(filepath.Join(dir, "tmp", id(2)+".poplin")); err != nil {
			t.Fatal(err)
		}
		if m, err := stage(d, id(2), "three\n"); err != nil {
			t.Errorf("%s is in the way in tmp/: %v", name, err)
		} else if err := d.Deliver(t.Context(), []*Message{m})[0]; err != nil {
			t.Errorf("%s was in the way in tmp/: %v", name, err)
		}
	}
	if got := read(t, secret); got != "mine" {
		t.Errorf("a file outside holds %q", got)
	}
}

// TestMaildirStagedChanged: what is staged and is not what it was is not
// delivered later.
func TestMaildirStagedChanged(t *testing.T) {
	dir := t.TempDir()
	d := openMaildir(t, dir)
	batch, notes := prepared(t, d, "one\n", "two\n", "three\n", "four\n")
	path := func(i int) string { return filepath.Join(dir, "tmp", id(i)+".poplin") }
	write(t, path(0), "ONE\n")
	write(t, path(1), "two\n\n")
	if err := os.Remove(path(2)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []Outcome{Absent, Absent, Absent, Staged} {
		settled(t, d, batch[i], notes[i], want)
	}
}

// noLinks is a file system that has none.
type noLinks struct {
	disk.FS
	err error
}

func (n noLinks) Link(from, to string) error {
	return &os.LinkError{Op: "link", Old: from, New: to, Err: n.err}
}

// TestMaildirWithoutLinks: messages are renamed there, over nothing.
func TestMaildirWithoutLinks(t *testing.T) {
	for _, err := range []error{syscall.EPERM, syscall.ENOTSUP, syscall.ENOSYS} {
		dir := t.TempDir()
		d, openErr := OpenMaildir(noLinks{disk.OS{}, err}, dir)
		if openErr != nil {
			t.Fatal(openErr)
		}
		deliver(t, d, "one\n", "two\n")
		write(t, filepath.Join(dir, "new", id(1)+".poplin"), "other\n")
		batch, _ := prepared(t, d, "one\n", "two\n")
		errs := d.Deliver(t.Context(), batch)
		var refused *Refusal
		if errs[0] != nil || !errors.As(errs[1], &refused) {
			t.Errorf("%v: the second delivery: %v", err, errs)
		}
		if wrong := holdsAll(files(t, filepath.Join(dir, "new")), []string{"one\n", "other\n"}); wrong != "" {
			t.Errorf("%v: %s", err, wrong)
		}
	}
}

// TestMaildirFolders: folders are made closed to others, and a file where one
// should be is named.
func TestMaildirFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	d := openMaildir(t, dir+"/./")
	if d.Name() != "maildir:"+dir {
		t.Errorf("the name is %s", d.Name())
	}
	for _, sub := range []string{"", "..", "new", "cur", "tmp"} {
		if info, err := os.Stat(filepath.Join(dir, sub)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%q is %v, error %v", sub, info, err)
		}
	}
	write(t, filepath.Join(dir, "file"), "")
	if _, err := OpenMaildir(disk.OS{}, filepath.Join(dir, "file")); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("a Maildir that is a file: %v", err)
	}
	if err := os.Symlink(filepath.Join(dir, "new"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	deliver(t, openMaildir(t, filepath.Join(dir, "link")), "one\n")
	if got := files(t, filepath.Join(dir, "new", "new")); len(got) != 1 {
		t.Errorf("behind a symbolic link there are %q", got)
	}
}
