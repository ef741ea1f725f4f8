package maildir

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// settle settles the maildrop, or begins an import, in a session of its own.
func (b *box) settle(settled bool) {
	b.Helper()
	m := b.open()
	defer m.Close()
	if err := m.(maildrop.Importer).Settle(b.Context(), settled); err != nil {
		b.Fatal(err)
	}
}

// TestSettle: while an import has not ended, each session keeps aside what it
// removes, for longer than it says.
func TestSettle(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	before := b.uids()
	b.settle(false)
	b.settle(false)
	m := b.open()
	if err := m.Remove(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	b.setAside(time.Hour, 0)
	if _, err := b.Expire(t.Context(), user, time.Now().Add(time.Hour), false); err != nil {
		t.Fatal(err)
	}
	b.wantUIDs("all were removed")
	for _, dir := range b.batches() {
		if aside, ok := parseBatch(dir.Name()); !ok || aside.until-aside.removed < maildrop.KeptUnsettled.Milliseconds() {
			t.Errorf("what is in %q is not kept for %v", dir.Name(), maildrop.KeptUnsettled)
		}
	}
	b.undelete("all were kept aside", len(before))
	b.settle(true)
	b.settle(true)
	m = b.open()
	if err := m.Remove(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	b.wantUIDs("settled", before[1:]...)
	b.undelete("it is settled", 0)
}

// TestUnsettledOrder: messages that lie in another order than they came in do so
// for the sessions between an import that was broken off and the next, which
// lists them in the order of the present, with mail that came meanwhile behind.
func TestUnsettledOrder(t *testing.T) {
	b := newBox(t, Options{Hostname: "host"})
	b.terms.tick, b.terms.settling, b.terms.young = 0, 0, 0
	list := strange()
	if err := b.take(list, func(i int) bool { return i%2 == 0 }); err != nil {
		t.Fatal(err)
	}
	b.settle(false)
	m := b.open()
	in, err := m.(maildrop.Importer).Import(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list[:5] {
		if i%2 == 0 {
			if err := in.Put(t.Context(), i, strings.NewReader(letter(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.Close() // the process dies
	var there []maildrop.Message
	for i := range list {
		if i < 5 || i%2 == 1 {
			there = append(there, list[i])
		}
	}
	b.wantUIDs("behind an import that was broken off", uidsOf(there)...)
	b.write("new/1800000000.M1P1.other", "new\n")
	b.wantUIDs("with new mail", append(uidsOf(there), "1800000000.M1P1.other")...)
	if err := b.take(list, none); err != nil {
		t.Fatal(err)
	}
	if got := b.uids(); !slices.Equal(got[:len(there)], uidsOf(list[:len(there)])) {
		t.Errorf("UIDs are %q, want %q", got, uidsOf(list))
	}
}

// TestUnsettledDamaged: a file that is none, or that nobody wrote, keeps nobody
// out, and the maildrop counts as unsettled. An import says that a folder is in
// its way, and replaces all else.
func TestUnsettledDamaged(t *testing.T) {
	damages := maps.Clone(kinds)
	file := func(text string) func(path string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	damages["a folder that is not empty"] = func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) }
	damages["of no UIDs"] = file("\n\x00\xff\nx\nx\n\n")
	damages["of many lines"] = file(strings.Repeat("\n", 1<<20))
	damages["unreadable"] = func(path string) error { return os.WriteFile(path, []byte("x\n"), 0) }
	damages["too long"] = func(path string) error { return errors.Join(file("")(path), os.Truncate(path, 1<<40)) }
	for kind, damage := range damages {
		t.Run(kind, func(t *testing.T) {
			b := newBox(t, Options{})
			fill(b)
			before := b.uids()
			if err := damage(filepath.Join(b.path, unsettledName)); err != nil {
				t.Fatal(err)
			}
			b.write("new/1800000000.M1P1.other", "new\n")
			b.wantUIDs("new mail", append(before, "1800000000.M1P1.other")...)
			m := b.open()
			if err := m.Remove(t.Context(), []int{0}); err != nil {
				t.Errorf("Remove: %v", err)
			}
			m.Close()
			b.settle(false)
			b.undelete("it is not settled", 1)
			err := b.take([]maildrop.Message{{UID: "x", Size: int64(len(letter(0)))}}, none)
			if folder := strings.HasPrefix(kind, "a folder"); folder != errors.Is(err, maildrop.ErrPermanent) || !folder && err != nil || folder && !strings.Contains(err.Error(), "move it away") {
				t.Errorf("an import: %v", err)
			} else if !folder {
				b.settle(true)
				b.remove("new/1800000000.M1P1.other")
				b.wantUIDs("at last", slices.Concat(before[1:], before[:1], []string{"x"})...)
			}
		})
	}
}
