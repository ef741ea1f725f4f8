package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// maildir is the path of a Maildir.
type maildir string

// newMaildir makes an empty Maildir.
func newMaildir(t *testing.T, path string) maildir {
	t.Helper()
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(path, sub), 0o777); err != nil {
			t.Fatal(err)
		}
		giveToNobody(t, filepath.Join(path, sub))
	}
	giveToNobody(t, path)
	return maildir(path)
}

// fill puts the letters in, in order and a second apart from each other, the
// first number first; every third one as one that a mail reader has seen.
func (m maildir) fill(t *testing.T, letters []letter, first int) {
	t.Helper()
	for i, l := range letters {
		n := first + i
		received := time.Unix(1_790_000_000+int64(n), 0)
		path := filepath.Join(string(m), "new", fmt.Sprintf("%d.M%06dP7V00.mx.example.org", received.Unix(), n))
		if n%3 == 2 {
			path = filepath.Join(string(m), "cur", filepath.Base(path)+":2,S")
		}
		if err := os.WriteFile(path, l.stored, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, received, received); err != nil {
			t.Fatal(err)
		}
		giveToNobody(t, path)
	}
}

// files gives the paths of the messages, in order of their names.
func (m maildir) files(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(string(m), sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			files = append(files, filepath.Join(string(m), sub, e.Name()))
		}
	}
	slices.SortFunc(files, func(a, b string) int {
		if filepath.Base(a) < filepath.Base(b) {
			return -1
		}
		return 1
	})
	return files
}

// messages reads all messages.
func (m maildir) messages(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	for _, path := range m.files(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// holds fails the test unless the Maildir holds just the letters, octet by
// octet as they were put in.
func (m maildir) holds(t *testing.T, letters []letter) {
	t.Helper()
	left := make(map[string]int)
	for _, b := range m.messages(t) {
		left[string(b)]++
	}
	for _, l := range letters {
		if left[string(l.stored)] == 0 {
			t.Errorf("the Maildir of the server no longer holds %q", l.name)
		}
		left[string(l.stored)]--
	}
	if n := len(m.files(t)); n != len(letters) {
		t.Errorf("the Maildir of the server holds %d messages, want %d", n, len(letters))
	}
}
