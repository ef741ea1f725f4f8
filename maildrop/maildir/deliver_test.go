package maildir

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// order gives the operations of the log among those named, in their order.
func (h *hook) order(ops ...string) string {
	var order []string
	for _, entry := range h.log {
		if op, _, _ := strings.Cut(entry, " "); slices.Contains(ops, op) {
			order = append(order, op)
		}
	}
	return strings.Join(order, " ")
}

// TestDeliverSyncs: the message is durable before it is seen, and its name
// before it is acknowledged.
func TestDeliverSyncs(t *testing.T) {
	b := newBox(t, Options{})
	b.hook.reset(nil)
	if _, err := b.Deliver(t.Context(), user, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if got, want := b.hook.order("write", "fsync", "link", "unlink"), "write fsync link fsync unlink"; got != want {
		t.Errorf("delivery makes the calls %s, want %s", got, want)
	}
	if st, err := os.Stat(filepath.Join(b.path, b.files()[0])); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode of the message is %v, error %v", st.Mode(), err)
	}
}

// TestRemoveSyncs: the directories that lost messages are synced behind the
// last of them, the others not.
func TestRemoveSyncs(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	m := b.open()
	for _, c := range []struct {
		marked []int
		want   string
	}{{[]int{0}, "unlink fsync"}, {[]int{1, 2}, "unlink unlink fsync fsync"}, {[]int{0}, "fsync fsync"}, {nil, ""}} {
		b.hook.reset(nil)
		if err := m.Remove(t.Context(), c.marked); err != nil {
			t.Fatal(err)
		}
		if got := b.hook.order("unlink", "fsync"); got != c.want {
			t.Errorf("Remove of %v makes the calls %q, want %q", c.marked, got, c.want)
		}
	}
}

// TestCreateSyncs: every folder that is made is synced in its parent.
func TestCreateSyncs(t *testing.T) {
	b := newBox(t, Options{})
	b.Store.path.root += "/a/b"
	b.hook.reset(nil)
	if err := b.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if got, want := b.hook.order("mkdir", "fsync"), "fsync fsync mkdir fsync mkdir mkdir fsync mkdir fsync"; got != want {
		t.Errorf("Create makes the calls %s, want %s: for a, b, the Maildir, and what is in it", got, want)
	}
}

func TestDeliveredNames(t *testing.T) {
	form := regexp.MustCompile(`^[0-9]{10}\.M[0-9]{6}P[0-9]+Q[0-9]+R[0-9a-f]{12}\.\S{1,14}$`)
	seen := make(map[string]bool)
	now := time.Now()
	for _, host := range []string{"h", "mail.example.org", "a/b:c", "ü\x00\n d", strings.Repeat("long", 100)} {
		n := newNamer(host)
		for range 1000 { // the clock stands still
			name := n.name(now)
			if seen[name] || !form.MatchString(name) || !validUID(name) || strings.ContainsAny(name, "/:") {
				t.Fatalf("name %q of host %q", name, host)
			}
			seen[name] = true
		}
	}
	if at, ok := nameTime(newNamer("h").name(now)); !ok || !at.Equal(now.Truncate(time.Microsecond)) {
		t.Errorf("time of the name is %v, want %v", at, now)
	}
}

// TestNameTaken: a name that is there already is not used.
func TestNameTaken(t *testing.T) {
	b := newBox(t, Options{})
	tries := 0
	b.hook.reset(func(_ int, op, name string) error {
		if op == "open" && strings.HasPrefix(name, "1") {
			tries++
			return at(tries < 4, unix.EEXIST)
		}
		return nil
	})
	if _, err := b.Deliver(t.Context(), user, strings.NewReader("x")); err != nil || tries != 4 {
		t.Errorf("Deliver: %v after %d names, want success with the fourth", err, tries)
	}
	tries = -1000
	if _, err := b.Deliver(t.Context(), user, strings.NewReader("x")); !errors.Is(err, maildrop.ErrTemporary) {
		t.Errorf("Deliver where every name is taken: %v, want ErrTemporary", err)
	}
}

// TestWithoutLinks: a file system that has no hard links takes mail too.
func TestWithoutLinks(t *testing.T) {
	for _, fault := range []error{unix.EPERM, unix.ENOTSUP, unix.ENOSYS} {
		b := newBox(t, Options{})
		b.hook.reset(func(_ int, op, _ string) error { return at(op == "link", fault) })
		receipt, err := b.Deliver(t.Context(), user, strings.NewReader("x"))
		if err != nil {
			t.Errorf("Deliver where link gives %v: %v", fault, err)
		}
		b.wantUIDs("delivered without links", receipt.UID)
	}
}

// TestNoTmp: a Maildir without tmp/ takes no mail, and says so.
func TestNoTmp(t *testing.T) {
	b := newBox(t, Options{})
	b.remove("tmp")
	if _, err := b.Deliver(t.Context(), user, strings.NewReader("x")); !errors.Is(err, maildrop.ErrTemporary) || !strings.Contains(err.Error(), "tmp") {
		t.Errorf("Deliver without tmp/: %v, want ErrTemporary", err)
	}
	b.wantUIDs("without tmp/")
}

// TestReaderFails: what r or the context says comes back, and nothing stays.
func TestReaderFails(t *testing.T) {
	b := newBox(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	r := readerFunc(func(p []byte) (int, error) { cancel(); return copy(p, "x"), nil })
	if _, err := b.Deliver(ctx, user, r); !errors.Is(err, context.Canceled) {
		t.Errorf("Deliver whose context ends: %v", err)
	}
	gone := errors.New("gone")
	r = func(p []byte) (int, error) { return copy(p, "x"), gone }
	if _, err := b.Deliver(t.Context(), user, r); !errors.Is(err, gone) {
		t.Errorf("Deliver whose reader fails: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(b.path, "tmp")); len(left)+len(b.files()) != 0 {
		t.Errorf("left behind are %v and %v", left, b.files())
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestSweep: what is older than 36 hours in tmp/ goes, and nothing else.
func TestSweep(t *testing.T) {
	b := newBox(t, Options{})
	b.write("new/1700000000.M1P1.host", "x")
	b.foreign("tmp/left", "half a mess")
	if err := os.Mkdir(filepath.Join(b.path, "tmp", "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := b.openFolder([]string{user}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	b.list()
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{0, 2}, {stale - time.Minute, 2}, {stale + time.Minute, 1}} {
		f.sweep(time.Now().Add(c.age))
		if left, _ := os.ReadDir(filepath.Join(b.path, "tmp")); len(left) != c.want {
			t.Errorf("at age %v there are %v in tmp/, want %d", c.age, left, c.want)
		}
	}
	b.wantUIDs("swept", "1700000000.M1P1.host")
}

// TestDeliverWholeMessages compares what is delivered, octet by octet.
func TestDeliverWholeMessages(t *testing.T) {
	b := newBox(t, Options{})
	content := bytes.Repeat([]byte("line\r\n.\n\x00\xff\r"), 30_000)
	receipt, err := b.Deliver(t.Context(), user, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := os.ReadFile(filepath.Join(b.path, "new", receipt.UID))
	if err != nil || !bytes.Equal(stored, content) {
		t.Errorf("stored are %d octets, error %v; want the %d that came", len(stored), err, len(content))
	}
	if size, _ := maildrop.Size(bytes.NewReader(content)); receipt.Octets != size {
		t.Errorf("receipt says %d octets, want %d", receipt.Octets, size)
	}
}
