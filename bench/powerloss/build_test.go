package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/poplin-mail/poplin/bench/powerloss/trial"
)

// TestControls: the changes of the controls fit the sources as they are now.
func TestControls(t *testing.T) {
	t.Chdir("../..")
	harm := trial.Counts{Lost: 1, Torn: 1, Returned: 1}
	for _, c := range controls {
		dir := t.TempDir()
		if _, err := c.overlay(dir); err != nil {
			t.Error(err)
			continue
		}
		changed, err := os.ReadFile(filepath.Join(dir, filepath.Base(c.file)))
		if err != nil {
			t.Fatal(err)
		}
		original, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(changed, original) || bytes.Contains(changed, []byte(c.from)) {
			t.Errorf("%s: nothing is changed", c.name)
		}
		if c.seen(harm) != 1 || c.seen(trial.Counts{}) != 0 {
			t.Errorf("%s: its harm %q is not counted", c.name, c.harm)
		}
	}
}

// TestControlOutOfDate: a control that does not fit is an error, and no Poplin
// without a fault.
func TestControlOutOfDate(t *testing.T) {
	t.Chdir("../..")
	for _, from := range []string{"this stands nowhere", "package maildir\n\nimport", "err"} {
		c := control{name: "test", file: controls[0].file, from: from, to: "x"}
		_, err := c.overlay(t.TempDir())
		if fits := from == "package maildir\n\nimport"; (err == nil) != fits {
			t.Errorf("change of %q: error %v", from, err)
		}
	}
}
