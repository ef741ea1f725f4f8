package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// TestWatched: a Maildir that is watched is not listed for mail that comes, or
// is moved, and is where a message is gone.
func TestWatched(t *testing.T) {
	b := newBox(t, Options{})
	if _, err := b.watches.from.add(b.dir(t, "new")); err == errNotLocal {
		t.Fatalf("the folder for temporary files is on a file system that others may change: set TMPDIR")
	}
	b.terms.watchFrom = 1
	want := fill(b)
	b.wantUIDs("at first", want...)
	b.wantUIDs("from now on it is watched", want...)
	time.Sleep(2 * usual.tick)
	for i := range 3 {
		name := fmt.Sprintf("1800000000.M%dP1.host", i)
		b.write("new/"+name, "x")
		want = append(want, name)
		b.hook.reset(nil)
		b.wantUIDs("mail came", want...)
		if b.hook.count("readDir") != 0 {
			t.Errorf("mail came: calls were %q", b.hook.log)
		}
	}
	b.rename("new/1800000000.M0P1.host", "cur/1800000000.M0P1.host:2,S")
	b.hook.reset(nil)
	b.wantUIDs("moved", want...)
	if b.hook.count("readDir") != 0 {
		t.Errorf("moved: calls were %q", b.hook.log)
	}
	if got, err := read(t, b.open(), 4); got != "x" || err != nil {
		t.Errorf("what was moved reads as %q, %v", got, err)
	}
}

// TestWatchedGone: what is gone is believed of a listing only.
func TestWatchedGone(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.watchFrom = 1
	want := fill(b)
	b.list()
	b.list()
	b.remove("new/1700000000.M1P1.host")
	b.hook.reset(nil)
	b.wantUIDs("gone", want[1:]...)
	if b.hook.count("readDir") == 0 {
		t.Errorf("gone: calls were %q", b.hook.log)
	}
	if err := os.RemoveAll(filepath.Join(b.path, "new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.path, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.write("new/1800000000.M1P1.host", "x")
	b.wantUIDs("another folder", want[1], want[3], "1800000000.M1P1.host")
}

// TestWatchedOneBase: of two files with one base, one is renamed again when the
// names that changed were taken. That the other is there says nothing of it.
func TestWatchedOneBase(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.watchFrom = 1
	want := fill(b)
	b.list()
	b.list()
	b.write("new/1800000000.M1P1.host", "x")
	b.write("cur/1800000000.M1P1.host:2,S", "another")
	moved := false
	b.hook.reset(func(_ int, op, name string) error {
		if op == "lstat" && name == "1800000000.M1P1.host" { // those of cur/ are next
			moved = true
			b.rename("cur/1800000000.M1P1.host:2,S", "cur/1800000000.M1P1.host:2,FS")
			b.hook.fail = nil
		}
		return nil
	})
	if got := b.uids(); len(got) != len(want)+2 {
		t.Errorf("renamed: UIDs are %q, want %q and two", got, want)
	}
	if !moved {
		t.Errorf("nothing was renamed: calls were %q", b.hook.log)
	}
}

// TestWatchedUsedAgain: a file that came is renamed when the names that changed
// were taken, and another one, with its base, has its name when that is looked
// at. Both are listed.
func TestWatchedUsedAgain(t *testing.T) {
	const name = "1800000000.M1P1.host"
	for _, when := range []string{"lstat", "open"} {
		b := newBox(t, Options{})
		b.terms.watchFrom = 1
		want := fill(b)
		b.list()
		b.list()
		b.write("new/"+name, "x")
		b.hook.reset(func(_ int, op, at string) error {
			if op == when && at == name {
				b.hook.fail = nil
				b.rename("new/"+name, "cur/"+name+":2,S")
				b.write("new/"+name, "another")
			}
			return nil
		})
		got := b.uids()
		if b.hook.fail != nil {
			t.Fatalf("%s: nothing was renamed: calls were %q", when, b.hook.log)
		}
		if len(got) != len(want)+2 {
			t.Errorf("%s: UIDs are %q, want %q and two", when, got, want)
		}
		b.hook.reset(nil)
		b.write("new/1800000001.M1P1.host", "y")
		if got := b.uids(); len(got) != len(want)+3 {
			t.Errorf("%s: mail came, UIDs are %q, want %q and three", when, got, want)
		}
	}
}

// TestWatchedMeanwhile: mail that comes while a login looks at other mail that
// came is told to the next, and is no reason to list.
func TestWatchedMeanwhile(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.watchFrom = 1
	want := fill(b)
	b.list()
	b.list()
	b.write("new/1800000000.M1P1.host", "x")
	b.hook.reset(func(_ int, op, name string) error {
		if op == "lstat" && name == "1800000000.M1P1.host" {
			b.hook.fail = nil
			b.write("new/1800000001.M1P1.host", "y")
		}
		return nil
	})
	want = append(want, "1800000000.M1P1.host")
	b.wantUIDs("mail came", want...)
	b.wantUIDs("and meanwhile", append(want, "1800000001.M1P1.host")...)
	if b.hook.count("readDir") != 0 {
		t.Errorf("calls were %q", b.hook.log)
	}
}

// dir opens a folder of the Maildir.
func (b *box) dir(t *testing.T, name string) int {
	f, err := os.Open(filepath.Join(b.path, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

// TestWatchedUnsettled: so it is while an import has not ended, but for what
// that brought.
func TestWatchedUnsettled(t *testing.T) {
	b := newBox(t, Options{Hostname: "host"})
	b.terms.watchFrom = 1
	want := fill(b)
	m := b.open()
	_, err := m.(maildrop.Importer).Import(t.Context(), []maildrop.Message{
		{UID: "x"}, {UID: want[0]}, {UID: want[1]}, {UID: want[2]}, {UID: want[3]},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Close() // the process dies
	b.list()
	b.list()
	b.write("new/1800000000.M1P1.host", "x")
	b.hook.reset(nil)
	b.wantUIDs("mail came", append(want, "1800000000.M1P1.host")...)
	if b.hook.count("readDir") != 0 {
		t.Errorf("mail came: calls were %q", b.hook.log)
	}
	text, err := os.ReadFile(filepath.Join(b.path, uidlName))
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := decodeUIDL(text)
	if err != nil || len(pairs) != 1 {
		t.Fatalf("the file for x is one of %v, %v", pairs, err)
	}
	b.write("new/"+pairs[0].base, "x") // the import goes on, somewhere else
	b.wantUIDs("x came", append(append([]string{"x"}, want...), "1800000000.M1P1.host")...)
}

// TestWatchedNoRoom: where there is no room any more for an index to which a
// session has added, nothing watches its Maildir.
func TestWatchedNoRoom(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.watchFrom = 1
	fill(b)
	b.list()
	b.list()
	m := b.open()
	b.backup("new/1700000000.M1P1.host")
	b.retrieves(m, 0, "a\n")
	if n := len(b.watches.byWD); n != 2 {
		t.Fatalf("%d folders are watched", n)
	}
	b.cache.limit = 1
	m.Close()
	if n := len(b.watches.byWD); n != 0 {
		t.Errorf("%d folders are watched, and nobody knows", n)
	}
}
