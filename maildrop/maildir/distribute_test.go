package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// others makes further Maildirs beside that of a box, and gives all as
// recipients.
func (b *box) others(n int) []maildrop.Recipient {
	b.Helper()
	to := []maildrop.Recipient{{Maildrop: user}}
	for i := range n {
		name := fmt.Sprintf("other%d@example.org", i)
		if err := b.Create(b.Context(), name); err != nil {
			b.Fatal(err)
		}
		to = append(to, maildrop.Recipient{Maildrop: name})
	}
	return to
}

// in lists what a directory of a recipient's Maildir holds.
func (b *box) in(name, dir string) []string {
	b.Helper()
	entries, err := os.ReadDir(filepath.Join(filepath.Dir(b.path), name, dir))
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join(filepath.Dir(b.path), name, dir, e.Name()))
	}
	return names
}

// TestDistributeOnce: for many recipients the message is written and synced
// once, and each directory is synced behind all links.
func TestDistributeOnce(t *testing.T) {
	b := newBox(t, Options{})
	to := b.others(3)
	b.hook.reset(nil)
	if _, err := b.Distribute(t.Context(), to, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if got, want := b.hook.order("write", "fsync", "link"), "write fsync link link link fsync fsync fsync link fsync"; got != want &&
		got != "write fsync link link link link fsync fsync fsync fsync" {
		t.Errorf("distribution makes the calls %s, want %s", got, want)
	}
	b.leaks()
	var first os.FileInfo
	for _, r := range to {
		if left := b.in(r.Maildrop, "tmp"); len(left) != 0 {
			t.Errorf("%q is left in tmp/", left)
		}
		info, err := os.Stat(b.in(r.Maildrop, "new")[0])
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = info
		} else if !os.SameFile(first, info) {
			t.Errorf("%s has a copy of its own", r.Maildrop)
		}
	}
}

// TestDistributeFaults: each recipient whose outcome is good has the message,
// whole; the others have nothing of it, unless the process was killed.
func TestDistributeFaults(t *testing.T) {
	content := strings.Repeat("0123456789\n", 10_000)
	for _, links := range []bool{true, false} {
		t.Run(fmt.Sprintf("links=%v", links), func(t *testing.T) {
			everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
				b := newBox(t, Options{})
				to := b.others(2)
				to[1].Quota = maildrop.Quota{Messages: 10}
				b.hook.reset(func(call int, op, name string) error {
					if err := fail(call, op, name); err != nil || links || op != "link" {
						return err
					}
					return unix.EPERM
				})
				outcomes, err := b.Distribute(t.Context(), to, strings.NewReader(content))
				calls := b.hook.calls
				b.leaks()
				unlinked := b.hook.count("unlink") > 0
				b.hook.reset(nil)
				if err != nil {
					t.Fatalf("error %v, which neither the reader nor the context gave", err)
				}
				for i, r := range to {
					files := b.in(r.Maildrop, "new")
					for _, name := range files {
						if stored, _ := os.ReadFile(name); string(stored) != content {
							t.Errorf("recipient %d has part of a message", i)
						}
					}
					switch o := outcomes[i]; {
					case o.Err == nil && len(files) != 1:
						t.Errorf("recipient %d was acknowledged and has %q", i, files)
					case o.Err != nil && !errors.Is(o.Err, maildrop.ErrTemporary):
						t.Errorf("error of recipient %d: %v, want ErrTemporary", i, o.Err)
					case o.Err != nil && !killed && len(files) != 0:
						t.Errorf("error of recipient %d: %v, and it has %q", i, o.Err, files)
					}
					left := slices.DeleteFunc(b.in(r.Maildrop, "tmp"), func(name string) bool { return killed && strings.Contains(name, sizeName) })
					if len(left) > 1 || !killed && len(left) > 0 && !unlinked {
						t.Errorf("recipient %d has %q in tmp/", i, left)
					}
				}
				return calls
			})
		})
	}
}

// TestDistributeBroken: a recipient that cannot be delivered to harms no other.
func TestDistributeBroken(t *testing.T) {
	b := newBox(t, Options{})
	to := b.others(40)
	broken := map[int]func(path string) error{
		3: os.RemoveAll,
		9: func(path string) error {
			return errors.Join(os.RemoveAll(path+"/new"), os.WriteFile(path+"/new", nil, 0o600))
		},
		17: func(path string) error { return errors.Join(os.Remove(path+"/tmp"), os.Symlink("/tmp", path+"/tmp")) },
		33: func(path string) error { return os.RemoveAll(path + "/cur") },
	}
	for i, breakIt := range broken {
		if err := breakIt(filepath.Join(filepath.Dir(b.path), to[i].Maildrop)); err != nil {
			t.Fatal(err)
		}
	}
	to = append(to, maildrop.Recipient{Maildrop: "../../etc"})
	for range 20 { // whichever recipient's tmp/ it is written in
		outcomes, err := b.Distribute(t.Context(), to, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outcomes {
			_, isBroken := broken[i]
			isBroken = isBroken || i == len(to)-1
			if linked := i == 17 && o.Err == nil; isBroken != (o.Err != nil) && !linked {
				t.Errorf("outcome %d: %v", i, o.Err)
			}
		}
	}
}

// TestMaildirsize: what other programs wrote counts, and what is wrong is
// counted anew.
func TestMaildirsize(t *testing.T) {
	b := newBox(t, Options{})
	b.write("cur/1700000000.M1P1.host:2,S", strings.Repeat("x", 60))
	if err := os.MkdirAll(b.path+"/.Sent/cur", 0o700); err != nil {
		t.Fatal(err)
	}
	b.write(".Sent/cur/1700000001.M1P1.host:2,S", strings.Repeat("x", 30))
	to := []maildrop.Recipient{{Maildrop: user, Quota: maildrop.Quota{Octets: 100, Messages: 50}}}
	put := func(why, content string, fits bool) {
		t.Helper()
		outcomes, err := b.Distribute(t.Context(), to, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if got := outcomes[0].Err == nil; got != fits {
			t.Errorf("%s: error %v", why, outcomes[0].Err)
		}
	}
	put("90 of 100 octets are taken, one of them in a folder", strings.Repeat("y", 11), false)
	put("90 of 100 octets are taken", strings.Repeat("y", 10), true)
	want := "100S,50C\n90 2\n10 1\n"
	file := b.path + "/maildirsize"
	if got, _ := os.ReadFile(file); string(got) != want {
		t.Errorf("maildirsize is %q, want %q", got, want)
	}
	b.remove(".Sent/cur/1700000001.M1P1.host:2,S")
	put("another program made room, and the count is fresh", "y", false)
	before := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, before, before); err != nil {
		t.Fatal(err)
	}
	put("another program made room, and the count is old", "y", true)
	after := time.Now().Add(time.Hour)
	b.write("maildirsize", "100S,50C\n99 1\n")
	if err := os.Chtimes(file, after, after); err != nil {
		t.Fatal(err)
	}
	put("the count is wrong, and as if made in the future", strings.Repeat("y", 30), false)
	if got, _ := os.ReadFile(file); string(got) != "100S,50C\n71 3\n" {
		t.Errorf("maildirsize is %q: it must be counted anew", got)
	}
	for _, bad := range []string{"", "100S,50C", "100S,50C\n1\n", "100S,50C\nx y\n", "x\n", "100S,50C\n-5 0\n", "-1S\n", "S\n", "99S\n1 1\n",
		"100S,50C\n9223372036854775807 1\n1 1\n", "100S,50C\n-9223372036854775808 1\n-9223372036854775808 1\n", "100S,50C\n4611686018427387904 0\n4611686018427387904 0\n",
		"99999999999999999999S\n1 1\n", ",,\xffS,é\n1 1\n", strings.Repeat("100S,50C\n", 3000)} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		put(fmt.Sprintf("maildirsize was %.20q", bad), strings.Repeat("y", 30), false)
		if got, _ := os.ReadFile(file); string(got) != "100S,50C\n71 3\n" {
			t.Errorf("after maildirsize %.20q it is %q: it must be counted anew", bad, got)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", file); err != nil {
		t.Fatal(err)
	}
	put("maildirsize is a symbolic link", "y", true)
}

// TestMaildirsizeTorn: where a line could be written only in part, the next
// delivery counts anew.
func TestMaildirsizeTorn(t *testing.T) {
	for _, fault := range []error{errShort, unix.ENOSPC} {
		b := newBox(t, Options{})
		to := []maildrop.Recipient{{Maildrop: user, Quota: maildrop.Quota{Octets: 100_000}}}
		for i := range 3 {
			b.hook.reset(func(_ int, op, _ string) error { return at(i == 1 && op == "write" && b.hook.count("link") > 0, fault) })
			outcomes, err := b.Distribute(t.Context(), to, strings.NewReader("12345678"))
			if err != nil || outcomes[0].Err != nil {
				t.Fatal(err, outcomes)
			}
		}
		b.hook.reset(nil)
		if u, err := b.Usage(t.Context(), user); (err != nil || u != maildrop.Usage{Octets: 24, Messages: 3}) {
			t.Errorf("after %v Usage is %+v, error %v", fault, u, err)
		}
	}
}

func TestExpire(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	now := time.Unix(1700000002, 0)
	for i, name := range []string{"new/1700000000.M1P1.host", "cur/1700000001.M1P1.host:2,S", "new/1700000002.M1P1.host"} {
		then := time.Unix(1700000000+int64(i), 0)
		if err := os.Chtimes(filepath.Join(b.path, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	b.write("new/1600000000.M1P1.host", "a clock that was wrong: its file is new")
	u, err := b.Expire(t.Context(), user, now, true)
	if (err != nil || u != maildrop.Usage{Octets: 4, Messages: 2}) {
		t.Errorf("dry Expire gives %+v, error %v", u, err)
	}
	if n := len(b.list()); n != 5 {
		t.Errorf("after a dry Expire there are %d messages", n)
	}
	m := b.open()
	if _, err := b.Expire(t.Context(), user, now, false); !errors.Is(err, maildrop.ErrInUse) {
		t.Errorf("Expire while a session is open: %v", err)
	}
	m.Close()
	if _, err := b.Expire(t.Context(), user, now, false); err != nil {
		t.Error(err)
	}
	b.wantUIDs("after Expire", "1600000000.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host")
}

func TestNames(t *testing.T) {
	root := t.TempDir()
	for _, c := range []struct {
		path  string
		make  []string
		other []string
		want  string
	}{
		{"/a/{user}", []string{"anna", "bert@example.org"}, []string{"none"}, "anna bert@example.org"},
		{"/b/{domain}/{local}/Maildir", []string{"a@x.org", "b@x.org", "a@y.org"}, []string{"z.org/c", "stray"}, "a@x.org a@y.org b@x.org"},
		{"/c/m-{local}.d/in", []string{"anna"}, []string{"m-x/in", "n-y.d/in"}, "anna"},
		{"/d/{domain}/{user}", []string{"a@x.org"}, []string{"y.org/a@x.org/new", "y.org/a@x.org/cur"}, "a@x.org"},
	} {
		s, err := New(Options{Path: root + c.path})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range c.make {
			if err := s.Create(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range c.other {
			if err := os.MkdirAll(filepath.Join(s.path.root, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		names, err := s.Names(t.Context())
		if got := strings.Join(names, " "); err != nil || got != c.want {
			t.Errorf("Names of %s are %q, error %v, want %q", c.path, got, err, c.want)
		}
	}
}
