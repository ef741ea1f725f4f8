package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// backup makes a hard link to a message outside of new/ and cur/.
func (b *box) backup(name string) {
	b.Helper()
	b.link(name, filepath.Join("tmp", time.Now().Format("backup.150405.000000000")))
	settle()
}

// retrieves reads a message, and tells how often its file was opened for that.
func (b *box) retrieves(m maildrop.Maildrop, i int, want string) int {
	b.Helper()
	b.hook.reset(nil)
	if got, err := read(b, m, i); err != nil || got != want {
		b.Errorf("message %d reads as %q, %v, want %q", i, got, err, want)
	}
	return b.hook.count("open 17")
}

// TestAgainOnce: a file whose ctime has changed is measured once, whatever
// sessions and processes retrieve it.
func TestAgainOnce(t *testing.T) {
	const name = "new/1700000000.M1P1.host"
	for what, change := range map[string]func(b *box){
		"backup by links": func(b *box) { b.backup(name) },
		"touched": func(b *box) {
			if err := os.Chtimes(filepath.Join(b.path, name), time.Time{}, time.Unix(1_600_000_000, 0)); err != nil {
				b.Fatal(err)
			}
			settle()
		},
	} {
		for _, journalFrom := range []int64{1, 64 << 10} {
			for _, cache := range []int{0, -1} {
				b := newBox(t, Options{IndexCache: cache})
				b.terms.journalFrom = journalFrom
				fill(b)
				settle()
				want := b.uids()
				for round := range 2 {
					m := b.open()
					change(b)
					for n, opened := range []int{2, 1, 1} {
						if got := b.retrieves(m, 0, "a\n"); got != opened {
							t.Errorf("%s, round %d, retrieval %d: its file is opened %d times, want %d", what, round, n, got, opened)
						}
						m.(*session).Rest()
					}
					m.Close()
					b.hook.reset(nil)
					m = b.open()
					if n := b.hook.count("open 17"); n != 0 {
						t.Errorf("%s, round %d: the next login opens %d files", what, round, n)
					}
					if got := uidsOf(m.Messages()); !slices.Equal(got, want) {
						t.Errorf("%s, round %d: UIDs are %q, want %q", what, round, got, want)
					}
					if got := b.retrieves(m, 0, "a\n"); got != 1 {
						t.Errorf("%s, round %d, next session: its file is opened %d times", what, round, got)
					}
					m.Close()
				}
			}
		}
	}
}

// TestAgainMoved: so is one that was renamed, and the index says where it is.
func TestAgainMoved(t *testing.T) {
	b := newBox(t, Options{})
	want := fill(b)
	settle()
	m := b.open()
	b.rename("new/1700000000.M1P1.host", "cur/1700000000.M1P1.host:2,S")
	b.backup("cur/1700000000.M1P1.host:2,S")
	b.retrieves(m, 0, "a\n")
	if got := b.retrieves(m, 0, "a\n"); got != 1 {
		t.Errorf("its file is opened %d times", got)
	}
	m.Close()
	m = b.open()
	if got := uidsOf(m.Messages()); !slices.Equal(got, want) {
		t.Errorf("UIDs are %q, want %q", got, want)
	}
	if got := b.retrieves(m, 0, "a\n"); got != 1 {
		t.Errorf("next session: its file is opened %d times", got)
	}
}

// TestAgainNotForgotten: what was measured again does not bring an index back
// that is known to be wrong.
func TestAgainNotForgotten(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.settling = 1
	fill(b)
	settle()
	b.list()
	m := b.open()
	b.backup("new/1700000000.M1P1.host")
	b.retrieves(m, 0, "a\n")
	if err := os.WriteFile(filepath.Join(b.path, "cur/1700000001.M1P1.host:2,S"), []byte("longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, m, 1); !errors.Is(err, maildrop.ErrGone) {
		t.Errorf("changed in place: %v, want ErrGone", err)
	}
	m.Close()
	if list := b.list(); list[1].Size != 8 {
		t.Errorf("size of what was changed in place is %d, want 8", list[1].Size)
	}
}

// TestAgainInOneTick: what was measured in the clock tick of a change may have
// changed again.
func TestAgainInOneTick(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	settle()
	m := b.open()
	b.backup("new/1700000000.M1P1.host")
	m.(*session).tick = time.Hour
	for range 2 {
		if got := b.retrieves(m, 0, "a\n"); got != 2 {
			t.Errorf("its file is opened %d times, want 2", got)
		}
	}
	b.hook.reset(nil)
	if m.Close(); b.hook.count("rename") != 0 {
		t.Errorf("an index is written that says no more: calls were %q", b.hook.log)
	}
}

// TestAgainFaults: whatever fails at the end of a session that measured again,
// the next one has all messages.
func TestAgainFaults(t *testing.T) {
	everyCall(t, func(t *testing.T, _ bool, fail func(int, string, string) error) int {
		b := newBox(t, Options{})
		want := fill(b)
		settle()
		b.hook.reset(nil)
		m := b.open()
		b.backup("new/1700000000.M1P1.host")
		if _, err := read(t, m, 0); err != nil {
			t.Fatal(err)
		}
		m.(*session).Rest()
		b.hook.calls, b.hook.fail = 0, fail
		m.Close()
		calls := b.hook.calls
		b.leaks()
		b.hook.reset(nil)
		b.wantUIDs("behind it", want...)
		m = b.open()
		for i, want := range []string{"a\n", "bb", "", "dddd\r\n"} {
			b.retrieves(m, i, want)
		}
		return calls
	})
}
