package collect

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
)

// tree gives what is below a folder: names, modes and contents.
func tree(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v", path, info.Mode())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", content)
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDryRunLeavesNothing: a dry run makes no folder and writes nothing, on the
// first day and later, and says what a run then does.
func TestDryRunLeavesNothing(t *testing.T) {
	e := newEvil(t, config.TLS, 3, nil)
	r := newReader(e, patience, "to = [\"maildir:Mail\", \"mbox:inbox\"]\nkeep = \"newest 1\"\n")
	text, err := os.ReadFile(filepath.Join(r.dir, "poplin.toml"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("poplin.toml", strings.Replace(string(text), "to = \"maildir:Mail\"\n", "", 1))
	dry := func(retrieve, doomed int) {
		t.Helper()
		before := tree(t, r.dir)
		result := r.run(fetch.Options{DryRun: true})
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		if after := tree(t, r.dir); !slices.Equal(after, before) {
			t.Errorf("a dry run changed\n%s\nto\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
		for _, s := range result.Plan {
			if s.Retrieve {
				retrieve--
			}
			if s.Delete {
				doomed--
			}
		}
		if retrieve != 0 || doomed != 0 {
			t.Errorf("the plan is %+v", result.Plan)
		}
	}
	dry(3, 2)
	if result := r.run(fetch.Options{}); result.Err != nil || e.left() != 1 {
		t.Fatalf("error %v, %d left", result.Err, e.left())
	}
	dry(0, 0)
	e.mu.Lock()
	e.mail[2].size = "70" // the journal of a run would note it
	e.mail = append(e.mail, &letter{uid: "uid-4", text: "Subject: 4\n\n"})
	e.mu.Unlock()
	dry(1, 1)
}

// TestLooseFolder: a folder of the state in which others can write is refused,
// before the server hears of anything.
func TestLooseFolder(t *testing.T) {
	for _, mode := range []fs.FileMode{0o770, 0o707, 0o777} {
		e := newEvil(t, config.TLS, 1, nil)
		r := newReader(e, patience, "")
		dir := filepath.Join(r.dir, "state", "fetch", "work")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if result := r.run(fetch.Options{}); result.Err == nil || result.Temporary || !strings.Contains(result.Error, "chmod go-w "+dir) || e.hears() != "" {
			t.Errorf("mode %o: error %v, temporary %t, heard %q", mode, result.Err, result.Temporary, e.hears())
		}
		if err := os.Chmod(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if result := r.run(fetch.Options{}); result.Err != nil {
			t.Errorf("mode 750: %v", result.Err)
		}
	}
}
