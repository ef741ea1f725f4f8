package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPowerLoss: mail that was acknowledged survives power loss on an ext4, and
// bench/powerloss sees Poplin lose it where an fsync is removed from it. `make
// powerloss` tries longer.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "powerloss"), "./bench/powerloss")
	build.Dir = ".."
	run(t, build)
	cmd := command(t, filepath.Join(dir, "powerloss"), "-poplin", poplin, "-dir", dir, "-time", "0", "-control", "0", "-moments", "16", "-work", "500ms")
	cmd.Dir = ".." // where it builds the controls
	t.Logf("%s", run(t, cmd))
}
