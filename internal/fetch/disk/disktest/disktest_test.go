package disktest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// deposit writes a file under another name first, as a program would.
func deposit(fsys disk.FS, dir, text string) error {
	f, err := fsys.OpenFile(filepath.Join(dir, "temp"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte(text)); err != nil {
		f.Close()
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(filepath.Join(dir, "temp"), filepath.Join(dir, "there")); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// listing gives the names and contents in a folder.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Name()+"="+string(content))
	}
	return strings.Join(all, " ")
}

func TestEach(t *testing.T) {
	for _, tt := range []struct {
		fault Fault
		power bool
		want  []string // what is left, by the call that fails
	}{
		{fault: Fault{}, want: []string{"", "temp=", "temp=text", "temp=text", "temp=text", "there=text", "there=text"}},
		{fault: Fault{Dies: true, Short: true, Err: syscall.ENOSPC}, want: []string{"", "temp=te", "temp=text", "temp=text", "temp=text", "there=text", "there=text"}},
		{fault: Fault{Dies: true}, power: true, want: []string{"", "", "", "", "", "", "there=text"}},
	} {
		var got []string
		n := Each(t, tt.fault, func(d *Disk) {
			dir := t.TempDir()
			err := deposit(d, dir, "text")
			switch {
			case d.Hit() != (err != nil):
				t.Errorf("%v: error %v", d, err)
			case err != nil && tt.fault.Err != nil && !errors.Is(err, tt.fault.Err), err != nil && tt.fault.Err == nil && !errors.Is(err, syscall.EIO):
				t.Errorf("%v: error %v", d, err)
			}
			if tt.fault.Dies && d.Hit() {
				if _, err := d.Lstat(dir); !errors.Is(err, ErrDead) {
					t.Errorf("%v: the next call: %v", d, err)
				}
			}
			if tt.power {
				d.PowerLoss()
			}
			got = append(got, listing(t, dir))
		})
		if n != 6 || strings.Join(got, "|") != strings.Join(tt.want, "|") {
			t.Errorf("%+v: %d calls leave %q, want %q", tt.fault, n, got, tt.want)
		}
	}
}

// TestPowerLoss: each kind of change is taken back where it was not synced.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"grows": "old", "synced": "old", "removed": "r", "moved": "m", "replaced": "p"} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, dir)
	d := New(t, Fault{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"grows", "synced"} {
		f, err := d.OpenFile(at(name), os.O_RDWR|os.O_APPEND, 0)
		must(err)
		_, err = f.Write([]byte(" and new"))
		must(err)
		if name == "synced" {
			must(f.Sync())
		}
		must(f.Truncate(5))
		must(f.Close())
	}
	must(d.Link(at("moved"), at("linked")))
	must(d.Remove(at("removed")))
	must(d.Rename(at("moved"), at("replaced")))
	must(d.MkdirAll(at("a/b"), 0o700))
	d.PowerLoss()
	want := strings.Replace(before, "synced=old", "synced=old and new", 1)
	if got := listing(t, dir); got != want {
		t.Errorf("after the loss: %q, want %q", got, want)
	}
}

// TestRestart: a process that is killed leaves what it wrote, and what of that
// is not durable is lost with the power of the machine.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	first := New(t, Fault{At: 6}) // the name is not synced
	if err := deposit(first, dir, "one"); err == nil {
		t.Fatal("no call fails")
	}
	second := first.Restart(Fault{})
	f, err := second.OpenFile(filepath.Join(dir, "there"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	third := second.Restart(Fault{})
	if got := listing(t, dir); got != "there=two" {
		t.Errorf("there is %q", got)
	}
	third.PowerLoss()
	if got := listing(t, dir); got != "" {
		t.Errorf("after the loss there is %q", got)
	}
}

// TestLocks: those of a process that died are free.
func TestLocks(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	for _, lock := range []func(disk.File) error{disk.File.Lock, disk.File.LockRecord} {
		first, second := New(t, Fault{}), New(t, Fault{})
		open := func(d *Disk) disk.File {
			f, err := d.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		a, b := open(first), open(second)
		if err := lock(a); err != nil {
			t.Fatal(err)
		}
		if err := lock(b); err != disk.ErrLocked {
			t.Errorf("a lock that another has: %v", err)
		}
		first.PowerLoss()
		if err := lock(b); err != nil {
			t.Errorf("a lock that a dead process had: %v", err)
		}
		b.Close()
	}
}
