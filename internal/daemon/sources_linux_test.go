package daemon

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestSecretOfAnother: a file that the server's user may not read is an error
// that says what to do, for root found nothing wrong with it.
func TestSecretOfAnother(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s3-secret")
	if err := os.WriteFile(file, []byte("s\n"), 0); err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread goes with the goroutine
		if os.Geteuid() == 0 {
			_ = syscall.Setfsuid(65534) // root reads everything
		}
		_, err := secretOf("", file)
		read <- err
	}()
	err := <-read
	if err == nil || !strings.HasPrefix(err.Error(), "open "+file+": permission denied: this is "+thisUser()+", who must be able to: give that user the file, with mode 0600, or ") {
		t.Errorf("secretOf: %v", err)
	}
	if got := thisUser(); os.Geteuid() == 0 && got != "root" || got == "" {
		t.Errorf("this is %q", got)
	}
}
