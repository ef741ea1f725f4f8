package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// poplin is the path of the program under test.
var poplin string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

// buildAndRun builds the program once for all tests, as `make build` does, and
// removes it after them.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "poplin-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other users run the program too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	poplin = filepath.Join(dir, "poplin")
	build := exec.Command("go", "build", "-o", poplin, "./cmd/poplin")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building poplin: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
