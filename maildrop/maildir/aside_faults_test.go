package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

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
