package maildir

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// An index that claims more records than it has takes no memory for them.
func TestIndexThatClaimsTooMuch(t *testing.T) {
	const size = 8 << 20
	for _, magic := range []string{indexMagic, oldMagic} {
		body := make([]byte, 0, size)
		body = append(body, make([]byte, 10)...)
		body = binary.AppendUvarint(body, size/leastRecord-100)
		claimsTooMuch(t, withSum(magic, body[:size]))
	}
}

func claimsTooMuch(t *testing.T, data []byte) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, ok := decodeIndex(data)
	runtime.ReadMemStats(&after)
	if ok {
		t.Error("it is taken")
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(2*len(data)) {
		t.Errorf("%d octets were taken for an index of %d", took, len(data))
	}
}

// listings counts how often a directory is read.
type listings struct {
	system
	reads int
}

func (l *listings) readDir(fd int, buf []byte) (int, error) {
	l.reads++
	return l.system.readDir(fd, buf)
}

// Messages with a second link, as backups by link make them, cost a listing
// for all of them at UPDATE and not one for each.
func TestRemoveLooksOnceForAll(t *testing.T) {
	const count = 200
	root := t.TempDir()
	s, err := New(Options{Path: filepath.Join(root, "{user}")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(context.Background(), "mrose"); err != nil {
		t.Fatal(err)
	}
	var marked []int
	for i := range count {
		name := filepath.Join(root, "mrose", "new", fmt.Sprintf("17000%05d.M1P1.host", i))
		if err := os.WriteFile(name, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(name, filepath.Join(root, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
		marked = append(marked, i)
	}
	counted := &listings{system: s.sys}
	s.sys = counted
	d, err := s.Open(context.Background(), "mrose")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	counted.reads = 0
	if err := d.Remove(context.Background(), marked); err != nil {
		t.Fatal(err)
	}
	if counted.reads > 50 {
		t.Errorf("directories were read %d times to remove %d messages", counted.reads, count)
	}
	if left, _ := os.ReadDir(filepath.Join(root, "mrose", "new")); len(left) != 0 {
		t.Errorf("%d messages left", len(left))
	}
	if backup, _ := filepath.Glob(filepath.Join(root, "17000*")); len(backup) != count {
		t.Errorf("%d of the other links left, want %d", len(backup), count)
	}
}
