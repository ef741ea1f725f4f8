package maildir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// box is a Maildir under test, and the Store that serves it.
type box struct {
	testing.TB
	*Store
	hook *hook
	path string
}

// user is the maildrop of a box.
const user = "user@example.org"

func newBox(t testing.TB, opts Options) *box {
	t.Helper()
	root := t.TempDir()
	opts.Path = root + "/{user}"
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{system: kernel{}}
	s.sys = h
	if err := s.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	return &box{t, s, h, filepath.Join(root, user)}
}

// write puts a file into the Maildir as another program would: whole, by
// rename, so that one with its name is replaced by another inode.
func (b *box) write(name, content string) {
	b.Helper()
	temp := filepath.Join(b.path, "tmp", "write")
	if err := os.WriteFile(temp, []byte(content), 0o600); err != nil {
		b.Fatal(err)
	}
	b.rename("tmp/write", name)
}

func (b *box) rename(from, to string) {
	b.Helper()
	if err := os.Rename(filepath.Join(b.path, from), filepath.Join(b.path, to)); err != nil {
		b.Fatal(err)
	}
}

func (b *box) remove(name string) {
	b.Helper()
	if err := os.Remove(filepath.Join(b.path, name)); err != nil {
		b.Fatal(err)
	}
}

func (b *box) link(from, to string) {
	b.Helper()
	if err := os.Link(filepath.Join(b.path, from), filepath.Join(b.path, to)); err != nil {
		b.Fatal(err)
	}
}

// files lists names in new/ and cur/.
func (b *box) files() []string {
	b.Helper()
	var names []string
	for _, dir := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(b.path, dir))
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, dir+"/"+e.Name())
		}
	}
	return names
}

func (b *box) open() maildrop.Maildrop {
	b.Helper()
	m, err := b.Open(b.Context(), user)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	return m
}

// list opens, lists, closes.
func (b *box) list() []maildrop.Message {
	b.Helper()
	m := b.open()
	defer m.Close()
	return m.Messages()
}

// uids gives the UIDs of a login.
func (b *box) uids() []string {
	b.Helper()
	return uidsOf(b.list())
}

func uidsOf(list []maildrop.Message) []string {
	var uids []string
	for _, m := range list {
		uids = append(uids, m.UID)
	}
	return uids
}

func (b *box) wantUIDs(why string, want ...string) {
	b.Helper()
	if got := b.uids(); !slices.Equal(got, want) {
		b.Errorf("%s: UIDs are %q, want %q", why, got, want)
	}
}

func read(t testing.TB, m maildrop.Maildrop, i int) (string, error) {
	t.Helper()
	r, err := m.Open(t.Context(), i)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return string(content), err
}

// hook is the kernel with a fault: fail is asked before each call, and what
// it gives is the call's error.
type hook struct {
	system
	calls  int
	fail   func(call int, op, name string) error
	opened map[int]bool
	log    []string
}

func (h *hook) ask(op, name string) error {
	h.calls++
	h.log = append(h.log, op+" "+name)
	if h.fail == nil {
		return nil
	}
	return h.fail(h.calls, op, name)
}

// reset begins to count anew, and sets a fault.
func (h *hook) reset(fail func(call int, op, name string) error) {
	h.calls, h.log, h.fail, h.opened = 0, nil, fail, make(map[int]bool)
}

// count gives how many calls were made that begin so.
func (h *hook) count(prefix string) (n int) {
	for _, entry := range h.log {
		if strings.HasPrefix(entry, prefix) {
			n++
		}
	}
	return n
}

func (h *hook) open(dir int, name string, flags int) (int, error) {
	if err := h.ask("open", name); err != nil {
		return -1, err
	}
	fd, err := h.system.open(dir, name, flags)
	if err == nil && h.opened != nil {
		h.opened[fd] = true
	}
	return fd, err
}

func (h *hook) close(fd int) error {
	err := h.ask("close", "")
	delete(h.opened, fd)
	if closeErr := h.system.close(fd); closeErr != nil {
		return fmt.Errorf("descriptor %d closed twice: %w", fd, closeErr)
	}
	return err
}

func (h *hook) read(fd int, p []byte) (int, error) {
	if err := h.ask("read", ""); err != nil {
		return 0, err
	}
	return h.system.read(fd, p)
}

// errShort makes a write take half of what it is given, and say so.
var errShort = errors.New("short write")

// write writes half before it fails, as a full disk does.
func (h *hook) write(fd int, p []byte) (int, error) {
	if err := h.ask("write", ""); err == errShort {
		return h.system.write(fd, p[:(len(p)+1)/2])
	} else if err != nil {
		h.system.write(fd, p[:len(p)/2])
		return 0, err
	}
	return h.system.write(fd, p)
}

func (h *hook) fsync(fd int) error {
	if err := h.ask("fsync", ""); err != nil {
		return err
	}
	return h.system.fsync(fd)
}

func (h *hook) flock(fd int) error {
	if err := h.ask("flock", ""); err != nil {
		return err
	}
	return h.system.flock(fd)
}

func (h *hook) readDir(fd int, buf []byte) (int, error) {
	if err := h.ask("readDir", ""); err != nil {
		return 0, err
	}
	return h.system.readDir(fd, buf)
}

func (h *hook) fstat(fd int, st *unix.Stat_t) error {
	if err := h.ask("fstat", ""); err != nil {
		return err
	}
	return h.system.fstat(fd, st)
}

func (h *hook) lstat(dir int, name string, st *unix.Stat_t) error {
	if err := h.ask("lstat", name); err != nil {
		return err
	}
	return h.system.lstat(dir, name, st)
}

func (h *hook) mkdir(dir int, name string) error {
	if err := h.ask("mkdir", name); err != nil {
		return err
	}
	return h.system.mkdir(dir, name)
}

func (h *hook) link(dir int, name string, newDir int, newName string) error {
	if err := h.ask("link", name); err != nil {
		return err
	}
	return h.system.link(dir, name, newDir, newName)
}

func (h *hook) rename(dir int, name string, newDir int, newName string) error {
	if err := h.ask("rename", name); err != nil {
		return err
	}
	return h.system.rename(dir, name, newDir, newName)
}

func (h *hook) rmdir(dir int, name string) error {
	if err := h.ask("rmdir", name); err != nil {
		return err
	}
	return h.system.rmdir(dir, name)
}

func (h *hook) setTime(dir int, name string, mtime int64) error {
	if err := h.ask("setTime", name); err != nil {
		return err
	}
	return h.system.setTime(dir, name, mtime)
}

func (h *hook) unlink(dir int, name string) error {
	if err := h.ask("unlink", name); err != nil {
		return err
	}
	return h.system.unlink(dir, name)
}
