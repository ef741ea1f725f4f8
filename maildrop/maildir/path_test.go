package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
)

func TestTemplates(t *testing.T) {
	for _, c := range []struct {
		path, name, root string
		parts            []string
	}{
		{"/var/mail/{user}", "a@b", "/var/mail", []string{"a@b"}},
		{"/var/mail/{user}/", "a", "/var/mail", []string{"a"}},
		{"/home/{local}/Maildir", "a@b@c", "/home", []string{"a@b", "Maildir"}},
		{"/srv//mail/{domain}/{local}//M", "a@b", "/srv/mail", []string{"b", "a", "M"}},
		{"/{user}", "a", "/", []string{"a"}},
		{"/srv/x-{user}.d/M", "a", "/srv", []string{"x-a.d", "M"}},
		{"/srv/a/../{user}", "ü {domain} \u202e", "/srv", []string{"ü {domain} \u202e"}},
	} {
		s, err := New(Options{Path: c.path})
		if err != nil {
			t.Errorf("path %q: %v", c.path, err)
			continue
		}
		parts, err := s.path.expand(c.name)
		if err != nil || s.path.root != c.root || !slices.Equal(parts, c.parts) {
			t.Errorf("path %q of %q is %q below %q, error %v; want %q below %q", c.path, c.name, parts, s.path.root, err, c.parts, c.root)
		}
	}
	if s, err := New(Options{Path: "{user}"}); err != nil || !filepath.IsAbs(s.path.root) {
		t.Errorf("a relative path: %v; want one below the working directory", err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, opts := range []Options{
		{}, {Path: "/var/mail"}, {Path: "/var/mail/{name}"}, {Path: "/{user}/../x"}, {Path: "/{user}/./x"}, {Path: "/{user"}, {Path: "/{user}}"},
		{Path: "/{local}-{domain}"}, {Path: "/{local}{domain}"},
		{Path: "/{user}", UIDL: "cyrus"}, {Path: "/{user}", UIDLFormat: "%u"}, {Path: "/{user}", UIDL: "courier", UIDLFormat: "%u"},
		{Path: "/{user}", UIDL: "dovecot", UIDLFormat: "%m"}, {Path: "/{user}", UIDL: "dovecot", UIDLFormat: "%v"},
		{Path: "/{user}", UIDL: "dovecot", UIDLFormat: "%5u"}, {Path: "/{user}", UIDL: "dovecot", UIDLFormat: "u%"},
		{Path: "/{user}", UIDL: "dovecot", UIDLFormat: "%Xf"}, {Path: "/{user}", UIDL: "dovecot", UIDLFormat: "%0800u"},
	} {
		if _, err := New(opts); err == nil || !strings.HasPrefix(err.Error(), "maildir: ") {
			t.Errorf("New(%+v): error %v, want one that says what is wrong", opts, err)
		}
	}
}

// TestHostileNames: "User names ../x, /etc/passwd, NUL ... -> refused or
// literal; no file outside the root."
func TestHostileNames(t *testing.T) {
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	for _, dir := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(outside, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(base, "root"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/root/{user}", "/root/{domain}/{local}", "/root/{local}"} {
		s, err := New(Options{Path: base + path, Create: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			"", ".", "..", "../outside", "a/../../outside", "/etc/passwd", outside, "a\x00b", "a\nb", "a\x7fb", "a\u0085b", `a\b`, ".hidden",
			strings.Repeat("x", 65536), "../outside@../outside", "..@..", ".a@.a", "x/y@x/y",
		} {
			if m, err := s.Open(t.Context(), name); !errors.Is(err, maildrop.ErrPermanent) {
				t.Errorf("path %s: Open(%.60q): %v, error %v; want ErrPermanent", path, name, m, err)
			}
			if _, err := s.Deliver(t.Context(), name, strings.NewReader("x")); !errors.Is(err, maildrop.ErrPermanent) {
				t.Errorf("path %s: Deliver to %.60q: error %v, want ErrPermanent", path, name, err)
			}
		}
		for _, name := range []string{"a@%d", "{{.}}@x", "'; --@x", "*)(uid=*@x", "\u202e@x", "~root@x", "$(id)@x"} {
			m, err := s.Open(t.Context(), name)
			if err != nil {
				t.Errorf("Open(%q): %v; want an empty maildrop of that very name", name, err)
				continue
			}
			m.Close()
		}
	}
	s, err := New(Options{Path: base + "/root/{domain}/{local}", Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"@", "a@", "@b", "a"} {
		if _, err := s.Open(t.Context(), name); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("Open(%q): %v, want ErrPermanent: a part of the path is empty", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, lockName)); err == nil {
		t.Error("a Maildir outside the root was opened")
	}
	if names, _ := os.ReadDir(base); len(names) != 2 {
		t.Errorf("beside the root there are %v", names)
	}
}

// TestSymlinks: links below the root lead to another user's mail, and are not
// followed, wherever they stand.
func TestSymlinks(t *testing.T) {
	victim := func(t *testing.T) *box {
		b := newBox(t, Options{})
		b.write("new/1700000000.M1P1.host", "secret")
		return b
	}
	t.Run("the Maildir", func(t *testing.T) {
		b := victim(t)
		if err := os.Symlink(user, filepath.Join(filepath.Dir(b.path), "thief")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Open(t.Context(), "thief"); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("Open: %v, want ErrPermanent", err)
		}
		if _, err := b.Deliver(t.Context(), "thief", strings.NewReader("x")); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("Deliver: %v, want ErrPermanent", err)
		}
	})
	for _, dir := range []string{"new", "cur", "tmp"} {
		t.Run(dir, func(t *testing.T) {
			b := victim(t)
			if err := b.Create(t.Context(), "thief"); err != nil {
				t.Fatal(err)
			}
			thief := filepath.Join(filepath.Dir(b.path), "thief", dir)
			if err := os.Remove(thief); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../"+user+"/new", thief); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Deliver(t.Context(), "thief", strings.NewReader("x")); !errors.Is(err, maildrop.ErrPermanent) {
				t.Errorf("Deliver: %v, want ErrPermanent", err)
			}
			if dir == "tmp" {
				return // reading does without it
			}
			if _, err := b.Open(t.Context(), "thief"); !errors.Is(err, maildrop.ErrPermanent) {
				t.Errorf("Open: %v, want ErrPermanent", err)
			}
		})
	}
	t.Run("the lock", func(t *testing.T) {
		b := victim(t)
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		if err := os.Symlink(elsewhere, filepath.Join(b.path, lockName)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrPermanent) {
			t.Errorf("Open: %v, want ErrPermanent", err)
		}
		if _, err := os.Lstat(elsewhere); err == nil {
			t.Error("a file outside the root was made")
		}
	})
}

// TestMissing: what is missing is no empty maildrop.
func TestMissing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "disk")
	s, err := New(Options{Path: root + "/{user}"})
	if err != nil {
		t.Fatal(err)
	}
	wants := func(step string, want error, words string) {
		t.Helper()
		_, err := s.Open(t.Context(), "a")
		if !errors.Is(err, want) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: Open: %v, want %v with %q in it", step, err, want, words)
		}
		if _, err := s.Deliver(t.Context(), "a", strings.NewReader("x")); !errors.Is(err, want) {
			t.Errorf("%s: Deliver: %v, want %v", step, err, want)
		}
	}
	wants("no root", maildrop.ErrTemporary, "mount its disk")
	s.create = true
	wants("no root, and Create", maildrop.ErrTemporary, "mount its disk")
	s.create = false
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	wants("no Maildir", maildrop.ErrTemporary, "create it with new/, cur/ and tmp/")
	if err := os.MkdirAll(root+"/a/new", 0o700); err != nil {
		t.Fatal(err)
	}
	wants("no cur", maildrop.ErrTemporary, "create it with new/, cur/ and tmp/")
	s.create = true
	m, err := s.Open(t.Context(), "a")
	if err != nil || len(m.Messages()) != 0 {
		t.Fatalf("with Create: %v", err)
	}
	m.Close()
	if _, err := s.Deliver(t.Context(), "b", strings.NewReader("x")); err != nil {
		t.Errorf("Deliver with Create: %v", err)
	}
	if err := os.WriteFile(root+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "file"); !errors.Is(err, maildrop.ErrPermanent) {
		t.Errorf("Open of a file: %v, want ErrPermanent", err)
	}
	s.Close()
	if _, err := s.Open(t.Context(), "a"); !errors.Is(err, errClosed) {
		t.Errorf("Open after Close: %v", err)
	}
	if err := s.Create(t.Context(), "c"); !errors.Is(err, errClosed) {
		t.Errorf("Create after Close: %v", err)
	}
}
