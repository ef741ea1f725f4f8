package directory

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestEditRemovesWhatAKilledOneLeft, but no file of anybody else's.
func TestEditRemovesWhatAKilledOneLeft(t *testing.T) {
	path := newFile(t, "anna:{PLAIN}one\n")
	dir := filepath.Dir(path)
	write(t, filepath.Join(dir, ".users.poplin-edit"), "anna:{PLAIN}long, and half written")
	write(t, filepath.Join(dir, ".users.20261123"), "a copy of the administrator's")
	if err := SetPassword(t.Context(), path, "anna", "{PLAIN}two"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "anna:{PLAIN}two\n" {
		t.Errorf("after SetPassword: %q", got)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != ".users.20261123" {
		t.Errorf("files left behind: %v, error %v", left, err)
	}
}

func TestEditKeepsTheRest(t *testing.T) {
	const before = "# staff\n\nAnna:{PLAIN}one:1000:1000:Anna A.:/home/anna:/bin/sh:userdb_mail=mbox:~/m\r\n# guests\nbert:{PLAIN}x\n"
	path := newFile(t, before)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := SetPassword(t.Context(), path, "anna", "{PLAIN}two"); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(before, "{PLAIN}one", "{PLAIN}two", 1)
	if got := read(t, path); got != want {
		t.Errorf("after SetPassword:\n%q\nwant\n%q", got, want)
	}
	if err := Add(t.Context(), path, "carla", "{PLAIN}three"); err != nil {
		t.Fatal(err)
	}
	want += "carla:{PLAIN}three::::::\n"
	if got := read(t, path); got != want {
		t.Errorf("after Add:\n%q\nwant\n%q", got, want)
	}
	if err := Remove(t.Context(), path, "BERT"); err != nil {
		t.Fatal(err)
	}
	want = strings.Replace(want, "bert:{PLAIN}x\n", "", 1)
	if got := read(t, path); got != want {
		t.Errorf("after Remove:\n%q\nwant\n%q", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v, error %v", left, err)
	}
}

func TestEditEnds(t *testing.T) {
	path := newFile(t, "anna:{PLAIN}one") // no line end, one field
	if err := Add(t.Context(), path, "bert", "{PLAIN}two"); err != nil {
		t.Fatal(err)
	}
	if err := SetPassword(t.Context(), path, "anna", "!"); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, path), "anna:!\nbert:{PLAIN}two::::::\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	list, err := List(path)
	if err != nil || len(list) != 2 || list[0] != (Entry{Name: "anna", Locked: true, Line: 1}) ||
		list[1] != (Entry{Name: "bert", Scheme: "PLAIN", Line: 2}) {
		t.Errorf("List: %+v, %v", list, err)
	}
}

func TestAddMakesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := SetPassword(t.Context(), path, "anna", "{PLAIN}x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("SetPassword without a file: %v", err)
	}
	if err := Add(t.Context(), path, "anna", "{PLAIN}x"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
}

func TestEditErrors(t *testing.T) {
	path := newFile(t, "anna:{PLAIN}one\n")
	check := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		if got := read(t, path); got != "anna:{PLAIN}one\n" {
			t.Errorf("%s: the file became %q", what, got)
		}
	}
	check("twice", Add(t.Context(), path, "ANNA", "{PLAIN}x"), "users:1: the user exists already")
	check("bad name", Add(t.Context(), path, "a:b", "{PLAIN}x"), "holds one of")
	check("bad hash", Add(t.Context(), path, "bert", "x"), "nothing was changed")
	check("line end", SetPassword(t.Context(), path, "anna", "{PLAIN}x\nroot:{PLAIN}y"), "a colon or a line end")
	check("no user", SetPassword(t.Context(), path, "bert", "{PLAIN}x"), "no such user")
	check("no user", Remove(t.Context(), path, "bert"), "no such user")
}

// TestEditMendsABrokenLine: a line that is wrong stops edits, but the one
// that puts it right.
func TestEditMendsABrokenLine(t *testing.T) {
	path := newFile(t, "anna:{PLAIN}one\nbert:hunter2\n")
	err := SetPassword(t.Context(), path, "anna", "{PLAIN}two")
	if err == nil || !strings.Contains(err.Error(), "users:2: the password has no {SCHEME}") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("edit beside a broken line: %v", err)
	}
	if err := SetPassword(t.Context(), path, "bert", "{PLAIN}two"); err != nil {
		t.Error(err)
	}
}

func TestEditThroughSymlink(t *testing.T) {
	path := newFile(t, "anna:{PLAIN}one\n")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := SetPassword(t.Context(), link, "anna", "{PLAIN}two"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became %v, error %v", info.Mode(), err)
	}
	if got := read(t, path); got != "anna:{PLAIN}two\n" {
		t.Errorf("the file is %q", got)
	}
}

func TestEditsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := Add(t.Context(), path, "user"+string(rune('a'+i)), "{PLAIN}x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := List(path); err != nil || len(list) != 20 {
		t.Errorf("%d users of 20, error %v", len(list), err)
	}
}

func TestEditLocked(t *testing.T) {
	path := newFile(t, "anna:{PLAIN}one\n")
	unlock, err := lockFolder(t.Context(), filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := Remove(ctx, path, "anna"); err == nil || !strings.Contains(err.Error(), "another program edits the users") {
		t.Errorf("while another edits: %v", err)
	}
}
