package maildir

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// TestFoundUnderNewName: a message that was moved or flagged since login is
// read and removed.
func TestFoundUnderNewName(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	m := b.open()
	b.rename("new/1700000000.M1P1.host", "cur/1700000000.M1P1.host:2,S")
	b.rename("cur/1700000001.M1P1.host:2,S", "cur/1700000001.M1P1.host:2,ST")
	for i, want := range []string{"a\n", "bb"} {
		if got, err := read(t, m, i); err != nil || got != want {
			t.Errorf("message %d after a rename: %q, error %v; want %q", i, got, err, want)
		}
	}
	b.hook.reset(nil)
	for i := range 4 {
		if _, err := read(t, m, i); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if b.hook.count("readDir") != 0 {
		t.Errorf("the Maildir was listed again for names that are known: %q", b.hook.log)
	}
	b.rename("cur/1700000000.M1P1.host:2,S", "cur/1700000000.M1P1.host:2,RS")
	if err := m.Remove(t.Context(), []int{0, 3}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	b.wantUIDs("after Remove", "1700000001.M1P1.host", "1700000002.M1P1.host")
}

// TestReplaced: a file that another program put in a message's place is not
// that message: it is neither served nor removed.
func TestReplaced(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	m := b.open()
	b.write("new/1700000000.M1P1.host", "another")
	b.write("cur/1700000001.M1P1.host:2,ST", "another") // first, so that its inode is another
	b.remove("cur/1700000001.M1P1.host:2,S")
	if err := unix.Mkfifo(filepath.Join(b.path, "tmp", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.rename("tmp/fifo", "new/1700000002.M1P1.host")
	for i := range 3 {
		if got, err := read(t, m, i); !errors.Is(err, maildrop.ErrGone) {
			t.Errorf("message %d, which was replaced: %q, error %v; want ErrGone", i, got, err)
		}
	}
	if err := m.Remove(t.Context(), []int{0, 1, 2, 3}); err != nil {
		t.Errorf("Remove: %v; what is gone already counts as removed", err)
	}
	m.Close()
	if files := strings.Join(b.files(), " "); files != "cur/1700000001.M1P1.host:2,ST new/1700000000.M1P1.host new/1700000002.M1P1.host" {
		t.Errorf("after Remove there are %s, want the files that came since", files)
	}
	for _, msg := range b.list() {
		if msg.Size != int64(len("another\r\n")) {
			t.Errorf("size of the file that replaced %s is %d", msg.UID, msg.Size)
		}
	}
}

// TestChangedInPlace: a file that was written to since login has not the size
// announced. It is not served, it is not removed, and the next login reads it
// anew, though no directory changed.
func TestChangedInPlace(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.settling = 2 * usual.tick
	fill(b)
	time.Sleep(3 * usual.tick)
	m := b.open()
	path := filepath.Join(b.path, "new", "1700000000.M1P1.host")
	if err := os.WriteFile(path, []byte("changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, m, 0); !errors.Is(err, maildrop.ErrGone) {
		t.Errorf("read: %q, error %v; want ErrGone", got, err)
	}
	if err := m.Remove(t.Context(), []int{0, 1}); !errors.Is(err, maildrop.ErrTemporary) {
		t.Errorf("Remove: %v, want ErrTemporary", err)
	}
	m.Close()
	list := b.list()
	if len(list) != 3 || list[0].Size != int64(len("changed\r\n")) {
		t.Errorf("next login lists %v, want the first message with its new size and without the second", list)
	}
	// A touch is no change.
	m = b.open()
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, m, 0); err != nil || got != "changed\n" {
		t.Errorf("read after a touch: %q, error %v", got, err)
	}
}

// TestReadFault: "A fault in the middle comes out of Read, never as an early
// io.EOF."
func TestReadFault(t *testing.T) {
	b := newBox(t, Options{})
	b.write("new/1700000000.M1P1.host", strings.Repeat("x", 1000))
	m := b.open()
	r, err := m.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("Read of nothing: %d, %v", n, err)
	}
	reads := 0
	b.hook.reset(func(call int, op, name string) error {
		if op == "read" {
			reads++
		}
		return at(op == "read" && reads == 3, unix.EIO)
	})
	var content []byte
	for err == nil {
		var n int
		buf := make([]byte, 100)
		n, err = r.Read(buf)
		content = append(content, buf[:n]...)
	}
	if len(content) != 200 || err == io.EOF || !errors.Is(err, maildrop.ErrTemporary) {
		t.Errorf("read %d octets, error %v; want 200 and ErrTemporary", len(content), err)
	}
	r.Close()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestSessionFaults: no fault of storage looks like a message that is gone.
func TestSessionFaults(t *testing.T) {
	for _, op := range []string{"open", "fstat", "lstat", "readDir"} {
		b := newBox(t, Options{})
		fill(b)
		m := b.open()
		b.rename("new/1700000000.M1P1.host", "cur/1700000000.M1P1.host:2,S")
		b.hook.reset(func(_ int, called, _ string) error { return at(called == op, unix.EIO) })
		if got, err := read(t, m, 0); !errors.Is(err, maildrop.ErrTemporary) || errors.Is(err, maildrop.ErrGone) {
			t.Errorf("%s fails: read %q, error %v; want ErrTemporary", op, got, err)
		}
		if err := m.Remove(t.Context(), []int{0}); op != "fstat" && op != "open" && !errors.Is(err, maildrop.ErrTemporary) {
			t.Errorf("%s fails: Remove: %v, want ErrTemporary", op, err)
		}
	}
}

func TestMisuse(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	m := b.open()
	for _, i := range []int{-1, 4} {
		if _, err := m.Open(t.Context(), i); err == nil {
			t.Errorf("Open of message %d succeeds", i)
		}
	}
	if err := m.Remove(t.Context(), []int{-1, 1, 4}); err == nil {
		t.Error("Remove of messages -1 and 4 succeeds")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Open(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a context that has ended: %v", err)
	}
	m.Close()
	if _, err := m.Open(t.Context(), 0); !errors.Is(err, errClosed) {
		t.Errorf("Open after Close: %v", err)
	}
	if err := m.Remove(t.Context(), []int{0}); !errors.Is(err, errClosed) {
		t.Errorf("Remove after Close: %v", err)
	}
	b.wantUIDs("afterwards", "1700000000.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host")
}

// TestCancelledMidway: a context that ends during Open or Remove ends them.
func TestCancelledMidway(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	for _, op := range []string{"readDir", "read", "lstat"} {
		ctx, cancel := context.WithCancel(t.Context())
		b.hook.reset(func(_ int, called, _ string) error {
			if called == op {
				cancel()
			}
			return nil
		})
		if m, err := b.Open(ctx, user); err == nil {
			m.Close()
			t.Errorf("Open whose context ended at %s succeeds", op)
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("Open whose context ended at %s: %v", op, err)
		}
		b.leaks()
	}
	b.hook.reset(nil)
	m := b.open()
	ctx, cancel := context.WithCancel(t.Context())
	b.hook.reset(func(_ int, op, _ string) error {
		if op == "unlink" {
			cancel()
		}
		return nil
	})
	if err := m.Remove(ctx, []int{0, 1, 2}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 messages not removed") {
		t.Errorf("Remove whose context ended at the first: %v", err)
	}
	m.Close()
	b.hook.reset(nil)
	b.wantUIDs("afterwards", "1700000001.M1P1.host", "1700000002.M1P1.host", "1700000003.M1P1.host")
}

// TestRewrittenUnseen: a program that writes to a file in place, and sets its
// length and time back, cannot have a wrong size sent: the file is known by
// its ctime. The next login lists the right one.
func TestRewrittenUnseen(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.settling = 2 * usual.tick
	b.write("new/1700000000.M1P1.host", "a\nb\nc\n")
	b.write("new/1700000001.M1P1.host", "x")
	time.Sleep(3 * usual.tick)
	b.list()
	path := filepath.Join(b.path, "new", "1700000000.M1P1.host")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("abcde\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, before.ModTime(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
	m := b.open()
	if got, err := read(t, m, 0); !errors.Is(err, maildrop.ErrGone) {
		t.Errorf("read: %q, error %v; want ErrGone, as the size that was listed is wrong", got, err)
	}
	if got, err := read(t, m, 1); err != nil || got != "x" {
		t.Errorf("the message beside it: %q, error %v", got, err)
	}
	m.Close()
	m = b.open()
	if size := m.Messages()[0].Size; size != int64(len("abcde\r\n")) {
		t.Errorf("the next login lists size %d", size)
	}
	if got, err := read(t, m, 0); err != nil || got != "abcde\n" {
		t.Errorf("read at the next login: %q, error %v", got, err)
	}
}

// TestLinkedMeanwhile: a backup by link changes the ctime and not the message,
// which is read and removed as before.
func TestLinkedMeanwhile(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	b.list()
	b.link("new/1700000000.M1P1.host", "../backup")
	m := b.open()
	if got, err := read(t, m, 0); err != nil || got != "a\n" {
		t.Errorf("read %q, error %v", got, err)
	}
	if err := m.Remove(t.Context(), []int{0}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.path + "/../backup"); err != nil {
		t.Error(err)
	}
}
