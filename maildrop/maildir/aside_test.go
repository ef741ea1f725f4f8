package maildir

import (
	"bytes"
	"context"
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
// has its name by now, and the others do.
func TestUndeleteReplacesNothing(t *testing.T) {
	for _, links := range []bool{true, false} {
		b := newBox(t, Options{})
		fill(b)
		b.setAside(time.Hour, 0, 2)
		b.write("new/1700000000.M1P1.host", "another")
		b.hook.reset(func(_ int, op, _ string) error { return at(op == "link" && !links, unix.EPERM) })
		n, err := b.Undelete(t.Context(), user, time.Time{})
		if n != 1 || !errors.Is(err, maildrop.ErrTemporary) || !strings.Contains(err.Error(), "another message is "+b.path+"/new/1700000000.M1P1.host") {
			t.Errorf("links %v: Undelete: %d, %v; want 1 and what is in the way", links, n, err)
		}
		if content, _ := os.ReadFile(filepath.Join(b.path, "new/1700000000.M1P1.host")); string(content) != "another" {
			t.Errorf("links %v: the other message is %q", links, content)
		}
		b.remove("new/1700000000.M1P1.host")
		b.undelete("nothing is in the way", 1)
		if content, _ := os.ReadFile(filepath.Join(b.path, "new/1700000000.M1P1.host")); string(content) != "a\n" {
			t.Errorf("links %v: the message is %q", links, content)
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

// TestSetAsideFaults: with any fault every message is in the maildrop or
// aside; those not marked are in the maildrop; without an error those marked
// are aside. All come back, with their UIDs.
func TestSetAsideFaults(t *testing.T) {
	everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{})
		want := fill(b)
		b.setAside(time.Hour) // makes nothing
		m := b.open()
		b.rename("new/1700000002.M1P1.host", "cur/1700000002.M1P1.host:2,S")
		b.hook.reset(fail)
		err := m.(maildrop.Aside).SetAside(t.Context(), []int{0, 1, 2}, time.Hour)
		calls := b.hook.calls
		b.hook.reset(nil)
		m.Close()
		here, aside := b.uids(), b.asides()
		switch {
		case len(here)+len(aside) != 4 || !slices.Contains(here, want[3]):
			t.Errorf("in the maildrop are %q, aside %q", here, aside)
		case err == nil && len(aside) != 3:
			t.Errorf("no error, but aside are %q", aside)
		case err != nil && !errors.Is(err, maildrop.ErrTemporary):
			t.Errorf("error %v, want ErrTemporary", err)
		}
		b.undelete("after the fault", len(aside))
		got := b.uids()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("UIDs are %q, want %q", got, want)
		}
		return calls
	})
}

// TestUndeleteFaults: with any fault every message is in the maildrop or
// aside, and what is counted is in the maildrop; the next one brings them all.
func TestUndeleteFaults(t *testing.T) {
	for _, links := range []bool{true, false} {
		t.Run(fmt.Sprintf("links=%v", links), func(t *testing.T) {
			everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
				b := newBox(t, Options{})
				want := fill(b)
				b.setAside(time.Hour, 0, 1, 2)
				b.hook.reset(func(call int, op, name string) error {
					if err := fail(call, op, name); err != nil {
						return err
					}
					return at(op == "link" && !links, unix.ENOTSUP)
				})
				n, err := b.Undelete(t.Context(), user, time.Time{})
				calls := b.hook.calls
				b.leaks()
				b.hook.reset(nil)
				here := b.uids()
				switch {
				case n > len(here)-1 || err == nil && n != 3:
					t.Errorf("%d came back, error %v, and there are %q", n, err, here)
				case err != nil && !errors.Is(err, maildrop.ErrTemporary):
					t.Errorf("error %v, want ErrTemporary", err)
				}
				if _, err := b.Undelete(t.Context(), user, time.Time{}); err != nil {
					t.Errorf("Undelete after the fault: %v", err)
				}
				got := b.uids()
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("UIDs are %q, want %q", got, want)
				}
				if left := b.asides(); len(left) != 0 {
					t.Errorf("aside are %q", left)
				}
				return calls
			})
		})
	}
}

// TestKeptFaults: Kept gives all or an error.
func TestKeptFaults(t *testing.T) {
	everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{UIDL: "courier"})
		fill(b)
		b.foreign("courierpop3dsizelist", "/2 9 77\n1700000000.M1P1.host 3 1:77\n")
		b.setAside(time.Hour, 0, 1)
		m := b.open()
		b.hook.reset(fail)
		kept, err := m.(maildrop.Aside).Kept(t.Context())
		calls := b.hook.calls
		b.leaks()
		b.hook.reset(nil)
		slices.Sort(kept)
		if err == nil && !slices.Equal(kept, []string{"1700000001.M1P1.host", "UID1-77"}) {
			t.Errorf("Kept is %q", kept)
		} else if err != nil && !errors.Is(err, maildrop.ErrTemporary) {
			t.Errorf("error %v, want ErrTemporary", err)
		}
		return calls
	})
}

// TestSetNoteFaults: a note is what it was or what it should become.
func TestSetNoteFaults(t *testing.T) {
	before, after := bytes.Repeat([]byte("before"), 1000), bytes.Repeat([]byte("after"), 2000)
	everyCall(t, func(t *testing.T, killed bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{})
		m := b.open().(maildrop.Notes)
		if err := m.SetNote(t.Context(), "k", before); err != nil {
			t.Fatal(err)
		}
		b.hook.reset(fail)
		err := m.SetNote(t.Context(), "k", after)
		calls := b.hook.calls
		b.leaks()
		b.hook.reset(nil)
		got, readErr := m.Note(t.Context(), "k")
		switch {
		case readErr != nil || !bytes.Equal(got, before) && !bytes.Equal(got, after):
			t.Errorf("the note is %d octets long, error %v", len(got), readErr)
		case err == nil && !bytes.Equal(got, after):
			t.Error("no error, and the note is what it was")
		case err != nil && !errors.Is(err, maildrop.ErrTemporary):
			t.Errorf("error %v, want ErrTemporary", err)
		}
		if err := m.SetNote(t.Context(), "k", after); err != nil {
			t.Errorf("SetNote after the fault: %v", err)
		}
		return calls
	})
}

// TestAsideMisuse: calls behind Close, contexts that have ended, and a note
// that is too long.
func TestAsideMisuse(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	b.undelete("nothing was set aside", 0)
	if files, _ := os.ReadDir(b.path); len(files) != 3 {
		t.Errorf("Undelete with nothing to do left %v", files)
	}
	b.setAside(time.Hour, 0)
	s := b.open().(*session)
	if err := s.SetNote(t.Context(), "k", make([]byte, maxState+1)); !errors.Is(err, maildrop.ErrPermanent) {
		t.Errorf("a note that is too long: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func(ctx context.Context) error{
		"SetAside": func(ctx context.Context) error { return s.SetAside(ctx, []int{0}, time.Hour) },
		"Kept":     func(ctx context.Context) error { _, err := s.Kept(ctx); return err },
		"Note":     func(ctx context.Context) error { _, err := s.Note(ctx, "k"); return err },
		"SetNote":  func(ctx context.Context) error { return s.SetNote(ctx, "k", nil) },
		"Undelete": func(ctx context.Context) error { _, err := b.Undelete(ctx, user, time.Time{}); return err },
	}
	for name, call := range calls {
		if err := call(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: %v", name, err)
		}
	}
	s.Close()
	b.Store.Close()
	for name, call := range calls {
		if err := call(t.Context()); !errors.Is(err, errClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	other := newBox(t, Options{Create: true})
	if _, err := other.Undelete(t.Context(), "nobody", time.Time{}); !errors.Is(err, maildrop.ErrTemporary) {
		t.Errorf("Undelete of a Maildir that is missing: %v", err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(other.path), "nobody")); err == nil {
		t.Error("Undelete made a Maildir")
	}
}

// TestUndeleteMustLast: messages that may not last in the maildrop are not
// counted, and stay aside.
func TestUndeleteMustLast(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	b.setAside(time.Hour, 0, 2)
	b.hook.reset(func(_ int, op, _ string) error { return at(op == "fsync", unix.EIO) })
	if n, err := b.Undelete(t.Context(), user, time.Time{}); n != 0 || !errors.Is(err, maildrop.ErrTemporary) {
		t.Errorf("Undelete: %d, %v", n, err)
	}
	if got := b.asides(); len(got) != 2 {
		t.Errorf("aside are %q", got)
	}
}

// TestUndeleteCancelled: a context that ends midway stops it, and what came
// back is counted.
func TestUndeleteCancelled(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	b.setAside(time.Hour, 0, 2)
	ctx, cancel := context.WithCancel(t.Context())
	b.hook.reset(func(_ int, op, _ string) error {
		if op == "link" {
			cancel()
		}
		return nil
	})
	if n, err := b.Undelete(ctx, user, time.Time{}); n != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("Undelete: %d, %v", n, err)
	}
	b.hook.reset(nil)
	b.undelete("the other", 1)
}

// ordered is the kernel, and notes renames, links, unlinks and what is synced.
type ordered struct {
	system
	log []string
}

func (o *ordered) fsync(fd int) error {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	name := filepath.Base(path)
	if _, ok := parseBatch(name); ok {
		name = "batch"
	}
	o.log = append(o.log, "fsync "+name)
	return errors.Join(err, o.system.fsync(fd))
}

func (o *ordered) rename(dir int, name string, newDir int, newName string) error {
	o.log = append(o.log, "rename")
	return o.system.rename(dir, name, newDir, newName)
}

func (o *ordered) link(dir int, name string, newDir int, newName string) error {
	o.log = append(o.log, "link")
	return o.system.link(dir, name, newDir, newName)
}

func (o *ordered) unlink(dir int, name string) error {
	o.log = append(o.log, "unlink")
	return o.system.unlink(dir, name)
}

// TestOrderOfSyncs: no loss of power finds a message in no place: a folder
// lasts before something moves into it, and an arrival before the departure.
func TestOrderOfSyncs(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	b.list()
	o := &ordered{system: b.sys}
	b.sys = o
	b.setAside(time.Hour, 0)
	if want := []string{"fsync " + user, "fsync " + asideName, "rename", "fsync batch", "fsync new"}; !slices.Equal(o.log[len(o.log)-len(want):], want) {
		t.Errorf("SetAside: %q, want %q at the end", o.log, want)
	}
	o.log = nil
	s := b.open().(*session)
	if err := s.SetNote(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if want := []string{"fsync " + notePrefix + "k.tmp", "rename", "fsync " + user}; !slices.Equal(o.log[len(o.log)-len(want):], want) {
		t.Errorf("SetNote: %q, want %q at the end", o.log, want)
	}
	o.log = nil
	b.undelete("one", 1)
	if want := []string{"link", "fsync new", "unlink"}; !slices.Equal(o.log, want) {
		t.Errorf("Undelete: %q, want %q", o.log, want)
	}
}
