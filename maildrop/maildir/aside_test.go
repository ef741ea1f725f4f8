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

// setAside sets messages aside in a session of its own.
func (b *box) setAside(period time.Duration, marked ...int) {
	b.Helper()
	m := b.open()
	defer m.Close()
	if err := m.(maildrop.Aside).SetAside(b.Context(), marked, period); err != nil {
		b.Fatal(err)
	}
}

// asides lists the files that are kept aside, as PLACE/NAME.
func (b *box) asides() (names []string) {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(b.path, asideName, "*", "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		names = append(names, filepath.Ext(filepath.Dir(file))[1:]+"/"+filepath.Base(file))
	}
	slices.Sort(names)
	return names
}

// batches lists the folders in poplin.aside.
func (b *box) batches() []os.DirEntry {
	b.Helper()
	entries, err := os.ReadDir(filepath.Join(b.path, asideName))
	if err != nil {
		b.Fatal(err)
	}
	return entries
}

func (b *box) undelete(why string, want int) {
	b.Helper()
	if n, err := b.Undelete(b.Context(), user, time.Time{}); n != want || err != nil {
		b.Errorf("%s: Undelete: %d, %v; want %d", why, n, err, want)
	}
}

// TestAsideKeepsNames: messages come back where they were, with their flags,
// their inodes and their UIDs, those taken over too, and are not read again.
func TestAsideKeepsNames(t *testing.T) {
	for _, lost := range []bool{false, true} {
		b := newBox(t, Options{UIDL: "courier"})
		fill(b)
		b.write("cur/"+strings.Repeat("n", 250)+":2,S", "a long name")
		b.foreign("courierpop3dsizelist", "/2 9 77\n1700000000.M1P1.host 3 1:77\n")
		before, files := b.uids(), b.files()
		m := b.open()
		if err := m.(maildrop.Aside).SetAside(t.Context(), []int{0, 1, 2, 4}, time.Hour); err != nil {
			t.Fatal(err)
		}
		kept, err := m.(maildrop.Aside).Kept(t.Context())
		slices.Sort(kept)
		if want := slices.Sorted(slices.Values([]string{before[0], before[1], before[2], before[4]})); err != nil || !slices.Equal(kept, want) {
			t.Errorf("Kept is %q, error %v; want %q", kept, err, want)
		}
		m.Close()
		b.wantUIDs("set aside", before[3])
		if got := append(b.asides(), b.files()...); len(got) != 5 {
			t.Errorf("in the maildrop and aside there are %q", got)
		}
		if lost {
			b.remove(indexName)
		}
		b.undelete("all", 4)
		if got := b.files(); !slices.Equal(got, files) {
			t.Errorf("files are %q, want %q", got, files)
		}
		got := b.uids()
		slices.Sort(got)
		slices.Sort(before)
		if !slices.Equal(got, before) {
			t.Errorf("index lost %v: UIDs are %q, want %q", lost, got, before)
		}
		if left := b.batches(); len(left) != 0 {
			t.Errorf("%v are left aside", left)
		}
	}
}

// TestUndeleteReplacesNothing: a message does not come back over another that
// has its name by now, also under other flags, and the others do.
func TestUndeleteReplacesNothing(t *testing.T) {
	const other = "new/1700000000.M1P1.host"
	for _, c := range []struct {
		name  string
		links bool
	}{{other, true}, {other, false}, {"cur/1700000000.M1P1.host:2,S", true}, {other + ":2,", false}} {
		name, links := c.name, c.links
		b := newBox(t, Options{})
		fill(b)
		b.setAside(time.Hour, 0, 2)
		b.write(name, "another")
		b.hook.reset(func(_ int, op, _ string) error { return at(op == "link" && !links, unix.EPERM) })
		n, err := b.Undelete(t.Context(), user, time.Time{})
		if n != 1 || !errors.Is(err, maildrop.ErrTemporary) || !strings.Contains(err.Error(), "another message is "+b.path+"/"+name) {
			t.Errorf("%s, links %v: Undelete: %d, %v; want 1 and what is in the way", name, links, n, err)
		}
		if content, _ := os.ReadFile(filepath.Join(b.path, name)); string(content) != "another" {
			t.Errorf("%s, links %v: the other message is %q", name, links, content)
		}
		b.remove(name)
		b.undelete("nothing is in the way", 1)
		if content, _ := os.ReadFile(filepath.Join(b.path, other)); string(content) != "a\n" {
			t.Errorf("%s, links %v: the message is %q", name, links, content)
		}
		b.leaks()
	}
}

// TestSetAsideOfMany: a message with several names, one that was renamed and
// one that is gone.
func TestSetAsideOfMany(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	b.link("new/1700000000.M1P1.host", "cur/1700000000.M1P1.host:2,")
	m := b.open()
	b.rename("cur/1700000001.M1P1.host:2,S", "cur/1700000001.M1P1.host:2,RS")
	b.remove("new/1700000002.M1P1.host")
	if err := m.(maildrop.Aside).SetAside(t.Context(), []int{0, 1, 2}, time.Hour); err != nil {
		t.Fatal(err)
	}
	m.Close()
	b.wantUIDs("set aside", "1700000003.M1P1.host")
	want := []string{"cur/1700000000.M1P1.host:2,", "cur/1700000001.M1P1.host:2,RS", "new/1700000000.M1P1.host"}
	if got := b.asides(); !slices.Equal(got, want) {
		t.Errorf("aside are %q, want %q", got, want)
	}
	b.undelete("all names", 3)
	if got := b.uids(); len(got) != 3 {
		t.Errorf("UIDs are %q, want three", got)
	}
}

// TestSetAsideTwiceAtOnce: two removals in one millisecond do not share a
// folder, in which one's file could replace the other's.
func TestSetAsideTwiceAtOnce(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	s := b.open().(*session)
	now := time.Now()
	for i := range 3 {
		k, err := s.newKeeper(now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		b.write("new/same", fmt.Sprint(i))
		if err := k.put(entry{inNew, "same"}); err != nil {
			t.Fatal(err)
		}
		k.close()
	}
	if got := b.batches(); len(got) != 3 {
		t.Errorf("there are %v, want three", got)
	}
}

// TestExpiry: what is aside longer than its period is removed for good at the
// next removal, undelete or listing; what is not, and what is none of ours,
// stays.
func TestExpiry(t *testing.T) {
	expired := func(t *testing.T) *box {
		b := newBox(t, Options{})
		fill(b)
		b.setAside(time.Hour, 0)
		b.setAside(time.Millisecond, 0)
		time.Sleep(5 * time.Millisecond)
		b.foreign(asideName+"/note", "not ours")
		return b
	}
	check := func(t *testing.T, b *box, want ...string) {
		t.Helper()
		if got := b.asides(); !slices.Equal(got, want) {
			t.Errorf("aside are %q, want %q", got, want)
		}
		if _, err := os.Stat(filepath.Join(b.path, asideName, "note")); err != nil {
			t.Error(err)
		}
	}
	t.Run("removal", func(t *testing.T) {
		b := newBox(t, Options{})
		fill(b)
		m := b.open().(maildrop.Aside)
		for i, period := range []time.Duration{time.Hour, time.Millisecond, time.Hour} {
			time.Sleep(5 * time.Millisecond)
			if err := m.SetAside(t.Context(), []int{i}, period); err != nil {
				t.Fatal(err)
			}
		}
		b.foreign(asideName+"/note", "not ours")
		check(t, b, "new/1700000000.M1P1.host", "new/1700000002.M1P1.host")
	})
	t.Run("listing", func(t *testing.T) {
		b := expired(t)
		b.list()
		check(t, b, "new/1700000000.M1P1.host")
	})
	t.Run("undelete", func(t *testing.T) {
		b := expired(t)
		b.undelete("one of two", 1)
		check(t, b)
	})
	t.Run("many", func(t *testing.T) {
		b := newBox(t, Options{})
		dir := filepath.Join(b.path, asideName, batch{removed: 1, until: 2}.String())
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range expiredAtOnce + 10 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.list()
		if got := b.asides(); len(got) != 10 {
			t.Errorf("%d are left, want 10: one session does not do the work of all", len(got))
		}
		b.foreign("new/x", "y")
		b.list()
		if got := b.batches(); len(got) != 0 {
			t.Errorf("left are %v", got)
		}
	})
}

func TestBatchNames(t *testing.T) {
	for _, b := range []batch{{1, 2, inNew}, {1700000000000, 1800000000000, inCur}} {
		if got, ok := parseBatch(b.String()); !ok || got != b {
			t.Errorf("%v is read as %v, %v", b, got, ok)
		}
	}
	for _, name := range []string{"", "1.2", "1.2.tmp", "x.2.new", "1.x.cur", "01.2.new", "1.2.new.x", "+1.2.new"} {
		if got, ok := parseBatch(name); ok {
			t.Errorf("%q is read as %v", name, got)
		}
	}
}
