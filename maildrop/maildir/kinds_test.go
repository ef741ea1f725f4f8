package maildir

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// kinds are the things that can stand where a file of Poplin's should be.
var kinds = map[string]func(path string) error{
	"a FIFO":              func(path string) error { return unix.Mkfifo(path, 0o600) },
	"a folder":            func(path string) error { return os.Mkdir(path, 0o700) },
	"a symbolic link":     func(path string) error { return os.Symlink("../victim", path) },
	"a link to no file":   func(path string) error { return os.Symlink("../nothing", path) },
	"a socket":            func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	"a link to a device":  func(path string) error { return os.Symlink("/dev/zero", path) },
	"a link to a FIFO":    func(path string) error { return os.Symlink("../fifo", path) },
	"a link to a folder":  func(path string) error { return os.Symlink("..", path) },
	"a link to the wrong": func(path string) error { return os.Symlink("../victim/.", path) },
}

// wrongKind puts each kind under a name into a Maildir, in its turn, and asks
// use for an error that says what to do. The files beside the Maildir, to
// which links lead, must stay as they are.
func wrongKind(t *testing.T, kinds map[string]func(string) error, opts Options, name string, use func(t *testing.T, b *box) error) {
	t.Helper()
	for kind, make := range kinds {
		t.Run(name+" is "+kind, func(t *testing.T) {
			b := newBox(t, opts)
			want := fill(b)
			root := filepath.Dir(b.path)
			if err := errors.Join(os.WriteFile(filepath.Join(root, "victim"), []byte("untouched"), 0o600),
				unix.Mkfifo(filepath.Join(root, "fifo"), 0o600), make(filepath.Join(b.path, name))); err != nil {
				t.Fatal(err)
			}
			b.hook.reset(nil)
			err := use(t, b)
			if !errors.Is(err, maildrop.ErrPermanent) || !strings.Contains(err.Error(), filepath.Join(b.path, name)) ||
				!strings.Contains(err.Error(), "move it away") {
				t.Errorf("error %v, want ErrPermanent with the path and what to do", err)
			}
			if content, err := os.ReadFile(filepath.Join(root, "victim")); string(content) != "untouched" || err != nil {
				t.Errorf("the file that the link leads to holds %q, error %v", content, err)
			}
			if _, err := os.Lstat(filepath.Join(root, "nothing")); err == nil {
				t.Error("the file that the link leads to was made")
			}
			b.remove(name)
			b.wantUIDs("afterwards", want...)
		})
	}
}

// loginFails is for wrongKind: the kind keeps users out.
func loginFails(t *testing.T, b *box) error {
	m, err := b.Open(t.Context(), user)
	if err == nil {
		m.Close()
	}
	b.leaks()
	return err
}

// inSession is for wrongKind: the kind fails one call of a session.
func inSession(call func(ctx context.Context, s *session) error) func(t *testing.T, b *box) error {
	return func(t *testing.T, b *box) error {
		m := b.open()
		defer m.Close()
		return call(t.Context(), m.(*session))
	}
}

func TestWrongKinds(t *testing.T) {
	wrongKind(t, kinds, Options{}, lockName, loginFails)
	wrongKind(t, kinds, Options{}, uidlName, loginFails)
	wrongKind(t, kinds, Options{UIDL: "courier"}, "courierpop3dsizelist", loginFails)
	wrongKind(t, kinds, Options{}, notePrefix+"k", inSession(func(ctx context.Context, s *session) error {
		_, err := s.Note(ctx, "k")
		return err
	}))
	kinds := maps.Clone(kinds)
	kinds["a file"] = func(path string) error { return os.WriteFile(path, nil, 0o600) }
	delete(kinds, "a folder")
	wrongKind(t, kinds, Options{}, asideName, inSession(func(ctx context.Context, s *session) error {
		_, err := s.Kept(ctx)
		return err
	}))
	wrongKind(t, kinds, Options{}, asideName, inSession(func(ctx context.Context, s *session) error {
		return s.SetAside(ctx, []int{0}, time.Hour)
	}))
	wrongKind(t, kinds, Options{}, asideName, func(t *testing.T, b *box) error {
		_, err := b.Undelete(t.Context(), user, time.Time{})
		b.leaks()
		return err
	})
}

// TestIndexWrongKind: the index is a cache, so nothing in its place keeps a
// user out, or is followed.
func TestIndexWrongKind(t *testing.T) {
	for kind, make := range kinds {
		b := newBox(t, Options{})
		want := fill(b)
		if err := os.WriteFile(filepath.Join(b.path, "../victim"), []byte("untouched"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := make(filepath.Join(b.path, indexName)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			b.wantUIDs("the index is "+kind, want...)
		}
		if content, _ := os.ReadFile(filepath.Join(b.path, "../victim")); string(content) != "untouched" {
			t.Errorf("the file that the link leads to holds %q", content)
		}
	}
}

// TestNoPermission: a Maildir that cannot be written to lets nobody in, since
// two sessions could be there at once, and the error says what to do.
func TestNoPermission(t *testing.T) {
	for _, fault := range []error{unix.EACCES, unix.EPERM, unix.EROFS} {
		b := newBox(t, Options{})
		fill(b)
		b.hook.reset(func(_ int, op, name string) error { return at(op == "open" && name == lockName, fault) })
		err := loginFails(t, b)
		if !errors.Is(err, maildrop.ErrPermanent) || !errors.Is(err, fault) ||
			!strings.Contains(err.Error(), filepath.Join(b.path, lockName)+" cannot be used") || !strings.Contains(err.Error(), "mount its disk for writing") {
			t.Errorf("%v: %v, want ErrPermanent that says what to do", fault, err)
		}
	}
}
