package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// A disk is the kernel with a memory of what was synced, and shows what POSIX
// leaves of everything else when the power fails: any of it. Entries of a
// directory last from the fsync of that directory, content from the fsync of
// the file; ext4 keeps more than that, other file systems need not. What real
// disks do under ext4 is tried by bench/powerloss.
type disk struct {
	system
	root     string
	listings map[uint64]map[string]uint64 // directories as synced: inodes by name
	contents map[uint64]string            // files as synced
	after    func()                       // called behind every call that changes something
}

func newDisk(root string) *disk {
	return &disk{kernel{}, root, make(map[uint64]map[string]uint64), make(map[uint64]string), func() {}}
}

func (d *disk) changed(err error) error {
	d.after()
	return err
}

func inode(fd int) uint64 {
	var st unix.Stat_t
	unix.Fstat(fd, &st)
	return st.Ino
}

// open makes a file, whose inode another may have had.
func (d *disk) open(dir int, name string, flags int) (int, error) {
	fd, err := d.system.open(dir, name, flags)
	if err == nil && flags&unix.O_EXCL != 0 {
		delete(d.contents, inode(fd))
		d.after()
	}
	return fd, err
}

func (d *disk) fsync(fd int) error {
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	if listing, err := list(path); err == nil {
		d.listings[inode(fd)] = listing
	} else if content, err := os.ReadFile(path); err == nil {
		d.contents[inode(fd)] = string(content)
	} else {
		return err
	}
	return d.changed(nil)
}

func (d *disk) write(fd int, p []byte) (int, error) {
	n, err := d.system.write(fd, p[:(len(p)+1)/2]) // so that one half may be there without the other
	return n, d.changed(err)
}

func (d *disk) mkdir(dir int, name string) error {
	return d.changed(d.system.mkdir(dir, name))
}

func (d *disk) link(dir int, name string, newDir int, newName string) error {
	return d.changed(d.system.link(dir, name, newDir, newName))
}

func (d *disk) rename(dir int, name string, newDir int, newName string) error {
	return d.changed(d.system.rename(dir, name, newDir, newName))
}

func (d *disk) unlink(dir int, name string) error {
	return d.changed(d.system.unlink(dir, name))
}

// list gives the inodes of a directory by name.
func list(dir string) (map[string]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	listing := make(map[string]uint64)
	for _, e := range entries {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, e.Name()), &st); err != nil {
			return nil, err
		}
		listing[e.Name()] = st.Ino
	}
	return listing, nil
}

// crash makes, in the folder to, what the power leaves of from. Lasts says
// whether something that was not synced is there.
func (d *disk) crash(from, to string, ino uint64, lasts func() bool) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	now, err := list(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	synced := d.listings[ino]
	names := make(map[string]bool)
	for _, listing := range []map[string]uint64{now, synced} {
		for name := range listing {
			names[name] = true
		}
	}
	for name := range names {
		child := synced[name]
		if child != now[name] && lasts() {
			child = now[name]
		}
		if child == 0 {
			continue
		}
		below := filepath.Join(from, name)
		st, err := os.Lstat(below)
		if err == nil && st.IsDir() {
			err = d.crash(below, filepath.Join(to, name), child, lasts)
		} else {
			content, whole := d.contents[child]
			if data, err := os.ReadFile(below); !whole && err == nil && child == now[name] && lasts() {
				content = string(data)
			}
			err = os.WriteFile(filepath.Join(to, name), []byte(content), 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// powerBox is a Store on a disk whose power fails behind every change.
type powerBox struct {
	*testing.T
	*Store
	disk    *disk
	numbers *rand.Rand
	crashes int
	left    string // folder for what the power leaves

	there, gone map[string]bool // messages, as USER TEXT: acknowledged, and removed
	moved       bool            // another program moved messages, which may be in two places
}

func newPowerBox(t *testing.T) *powerBox {
	root := t.TempDir()
	s, err := New(Options{Path: root + "/{domain}/{local}", Create: true})
	if err != nil {
		t.Fatal(err)
	}
	b := &powerBox{T: t, Store: s, disk: newDisk(root), numbers: rand.New(rand.NewPCG(1, 2)), left: t.TempDir(),
		there: make(map[string]bool), gone: make(map[string]bool)}
	s.sys = b.disk
	b.disk.after = b.fail
	return b
}

// fail has the power fail in some ways, and looks at what is left.
func (b *powerBox) fail() {
	b.Helper()
	for _, lasts := range []func() bool{
		func() bool { return false },
		func() bool { return true },
		func() bool { return b.numbers.IntN(2) == 0 },
		func() bool { return b.numbers.IntN(2) == 0 },
	} {
		b.crashes++
		left := filepath.Join(b.left, strconv.Itoa(b.crashes))
		b.crash(left, lasts)
		b.look(left)
		os.RemoveAll(left)
	}
}

// crash is disk.crash for everything.
func (b *powerBox) crash(to string, lasts func() bool) {
	b.Helper()
	var st unix.Stat_t
	err := unix.Stat(b.disk.root, &st)
	if err == nil {
		err = b.disk.crash(b.disk.root, to, st.Ino, lasts)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// forgetful is the kernel, but that it syncs nothing: what it is used for need
// not last.
type forgetful struct{ kernel }

func (forgetful) fsync(int) error { return nil }

var powerUsers = []string{"anna@a.example", "bert@b.example"}

// look says what is wrong with what the power left, which a new Store serves.
func (b *powerBox) look(left string) {
	b.Helper()
	s, err := New(Options{Path: left + "/{domain}/{local}", Create: true})
	if err != nil {
		b.Fatal(err)
	}
	s.sys = forgetful{}
	for _, user := range powerUsers {
		m, err := s.Open(context.Background(), user)
		if err != nil {
			b.Fatalf("after power loss %d: %v", b.crashes, err)
		}
		got := make(map[string]bool)
		for i := range m.Messages() {
			text, err := read(b, m, i)
			key := user + " " + text
			switch {
			case err != nil || !strings.HasSuffix(text, ".\n"):
				b.Errorf("after power loss %d %s has the torn message %q, error %v", b.crashes, user, text, err)
			case b.gone[key]:
				b.Errorf("after power loss %d %q is there again", b.crashes, key)
			case got[key] && !b.moved:
				b.Errorf("after power loss %d %q is there twice", b.crashes, key)
			}
			got[key] = true
		}
		if err := m.Close(); err != nil {
			b.Error(err)
		}
		for key := range b.there {
			if strings.HasPrefix(key, user) && !got[key] {
				b.Errorf("after power loss %d %q is lost", b.crashes, key)
			}
		}
		if _, err := s.Deliver(context.Background(), user, strings.NewReader("More.\n")); err != nil {
			b.Errorf("after power loss %d: %v", b.crashes, err)
		}
	}
}

// deliver delivers, and the power fails behind the acknowledgement too.
func (b *powerBox) deliver(text string, users ...string) {
	b.Helper()
	var to []maildrop.Recipient
	for _, user := range users {
		to = append(to, maildrop.Recipient{Maildrop: user})
	}
	outcomes, err := b.Distribute(b.Context(), to, strings.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	for i, outcome := range outcomes {
		if outcome.Err != nil {
			b.Errorf("message not taken: %v", outcome.Err)
			continue
		}
		b.there[users[i]+" "+text] = true
	}
	b.fail()
}

// TestPowerLoss: what was acknowledged survives power loss, and what was
// removed, whichever of the changes that were not synced reach the disk.
func TestPowerLoss(t *testing.T) {
	b := newPowerBox(t)
	b.deliver("The first.\n", powerUsers[0])
	b.deliver("The second.\n", powerUsers...)
	b.deliver("The third.\n", powerUsers[0])

	// One is moved as other programs do it, which sync nothing: it may be in
	// new/, in cur/, or in neither.
	path := filepath.Join(b.disk.root, "a.example", "anna")
	names, err := os.ReadDir(filepath.Join(path, "new"))
	if err != nil {
		t.Fatal(err)
	}
	b.moved = true
	delete(b.there, powerUsers[0]+" The first.\n")
	if err := os.Rename(filepath.Join(path, "new", names[0].Name()), filepath.Join(path, "cur", names[0].Name()+":2,S")); err != nil {
		t.Fatal(err)
	}
	m, err := b.Open(t.Context(), powerUsers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	remove := func(i int, how func() error) {
		text, err := read(t, m, i)
		key := powerUsers[0] + " " + text
		delete(b.there, key)
		if err == nil {
			err = how()
		}
		if err != nil {
			t.Fatal(err)
		}
		b.gone[key] = true
		b.fail()
	}
	remove(0, func() error { return m.Remove(t.Context(), []int{0}) })
	remove(2, func() error { return m.(maildrop.Aside).SetAside(t.Context(), []int{2}, time.Hour) })
	if b.crashes < 100 {
		t.Errorf("the power failed %d times only", b.crashes)
	}
}

// TestPowerLossAside: a message that was set aside survives power loss there,
// and so does a note.
func TestPowerLossAside(t *testing.T) {
	b := newPowerBox(t)
	b.deliver("The first.\n", powerUsers[0])
	m, err := b.Open(t.Context(), powerUsers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	clear(b.there)
	err = errors.Join(m.(maildrop.Aside).SetAside(t.Context(), []int{0}, time.Hour), m.(maildrop.Notes).SetNote(t.Context(), "phone", []byte("hidden")))
	if err != nil {
		t.Fatal(err)
	}
	left := t.TempDir()
	b.crash(left, func() bool { return false })
	s, err := New(Options{Path: left + "/{domain}/{local}"})
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Open(t.Context(), powerUsers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	kept, err := after.(maildrop.Aside).Kept(t.Context())
	if err != nil || !slices.Equal(kept, []string{m.Messages()[0].UID}) {
		t.Errorf("after power loss %q are kept, error %v", kept, err)
	}
	if note, err := after.(maildrop.Notes).Note(t.Context(), "phone"); err != nil || string(note) != "hidden" {
		t.Errorf("after power loss the note is %q, error %v", note, err)
	}
}

// TestPowerLossWhileMade: a delivery that finds a Maildir that another is about
// to make can rest on it, at any moment of that.
func TestPowerLossWhileMade(t *testing.T) {
	for moment := 1; ; moment++ {
		b := newPowerBox(t)
		changes := 0
		b.disk.after = func() {
			if changes++; changes == moment {
				b.deliver("The second.\n", powerUsers[0])
			}
		}
		b.deliver("The first.\n", powerUsers[0])
		if changes < moment {
			break
		}
	}
}
