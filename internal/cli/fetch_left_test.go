package cli

import (
	"os"
	"strings"
	"testing"
)

// TestFetchLeftOut: what a target does not take is never left out in silence.
func TestFetchLeftOut(t *testing.T) {
	for _, c := range []struct {
		name, exit string
		first      int // exit code of runs in which it is tried, but for the last
		last       int // of that, and of those behind it
		says       string
		hooks      int // of on_error
	}{
		{"put off", "75", exitTryAgain, exitTryAgain, "poplin: work: 1 message put off, and tried again within a day; message ", 0},
		{"given up", "65", exitTryAgain, exitFailure, "ended with exit code 65; it is given up: --retry has it tried again\n", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, dir, config := fetchBed(t, "on_error = 'echo $POPLIN_ERROR >> hook'\nto = \"command:cat >/dev/null; exit "+c.exit+"\"\n", "Subject: a\n\nx\n")
			t.Chdir(dir)
			for range 4 {
				printed(t, c.first, "fetch", "--config", config)
			}
			printed(t, c.last, "fetch", "--config", config)
			for range 2 {
				if _, errs := printed(t, c.last, "fetch", "--config", config); strings.Count(errs, "\n") != 1 || !strings.Contains(errs, c.says) {
					t.Errorf("it says %q", errs)
				}
			}
			if hook, _ := os.ReadFile("hook"); strings.Count(string(hook), "is given up") != c.hooks {
				t.Errorf("on_error got %q", hook)
			}
		})
	}
}
