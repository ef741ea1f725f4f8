package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// TestMovedWhileListed: a file that goes from cur/ to new/ when new/ was read
// and cur/ was not is in neither, and is listed all the same.
func TestMovedWhileListed(t *testing.T) {
	b := newBox(t, Options{})
	want := fill(b)
	time.Sleep(2 * usual.tick)
	moved := false
	b.hook.reset(func(_ int, op, _ string) error {
		if op == "readDir" && b.hook.count("readDir") == 3 && !moved { // the first of cur/
			moved = true
			b.rename("cur/1700000003.M1P1.host:2,", "new/1700000003.M1P1.host")
		}
		return nil
	})
	b.wantUIDs("moved while it was listed", want...)
	if !moved {
		t.Error("nothing was moved: the calls are not as this test knows them")
	}
}

// TestRewritten: a file that was written to in place is measured anew when its
// directory is listed again.
func TestRewritten(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.young = time.Hour
	fill(b)
	b.list()
	if err := os.WriteFile(filepath.Join(b.path, "new", "1700000000.M1P1.host"), []byte("longer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list := b.list(); list[0].Size != int64(len("longer\r\n")) {
		t.Errorf("size is %d, want that of the new content", list[0].Size)
	}
}

// TestIndexDropped: where no directory tells that a file was changed, the
// session that noticed does, so that the next one measures it anew.
func TestIndexDropped(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.settling = 2 * usual.tick
	fill(b)
	time.Sleep(3 * usual.tick)
	b.list()
	m := b.open()
	if err := os.WriteFile(filepath.Join(b.path, "new", "1700000000.M1P1.host"), []byte("longer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, m, 0); !errors.Is(err, maildrop.ErrGone) {
		t.Errorf("read: %v, want ErrGone", err)
	}
	m.Close()
	if list := b.list(); list[0].Size != int64(len("longer\r\n")) {
		t.Errorf("size is %d at the next login, want that of the new content", list[0].Size)
	}
}

// TestMovedAndReplaced: a message is found under its new name though another
// file has its old one.
func TestMovedAndReplaced(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	m := b.open()
	b.rename("new/1700000000.M1P1.host", "cur/1700000000.M1P1.host:2,S")
	b.write("new/1700000000.M1P1.host", "another")
	if got, err := read(t, m, 0); err != nil || got != "a\n" {
		t.Errorf("read %q, error %v; want the message that was listed", got, err)
	}
	if err := m.Remove(t.Context(), []int{0}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if stored, err := os.ReadFile(filepath.Join(b.path, "new", "1700000000.M1P1.host")); err != nil || string(stored) != "another" {
		t.Errorf("the other file holds %q, error %v", stored, err)
	}
}

// TestLockFileReplaced: a lock on a file that is no longer the lock file is
// none.
func TestLockFileReplaced(t *testing.T) {
	b := newBox(t, Options{})
	b.hook.reset(func(_ int, op, _ string) error {
		if op == "flock" && b.hook.count("flock") == 1 {
			b.foreign(lockName+".2", "")
			b.rename(lockName+".2", lockName)
		}
		return nil
	})
	b.open()
	if _, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrInUse) {
		t.Errorf("second Open: %v, want ErrInUse", err)
	}
}

// TestTakenOverMustLast: UIDs whose file may not survive a loss of power are
// not served, by this session or the next.
func TestTakenOverMustLast(t *testing.T) {
	b := newBox(t, Options{UIDL: "dovecot"})
	b.foreign("dovecot-uidlist", dovecotList)
	b.hook.reset(func(_ int, op, _ string) error {
		return at(op == "fsync" && b.hook.count("fsync") == 2, unix.EIO) // the folder's
	})
	if _, err := b.Open(t.Context(), user); !errors.Is(err, maildrop.ErrTemporary) {
		t.Errorf("Open: %v, want ErrTemporary", err)
	}
	if _, err := os.Stat(filepath.Join(b.path, uidlName)); err == nil {
		t.Errorf("%s stays though it may not last", uidlName)
	}
}
