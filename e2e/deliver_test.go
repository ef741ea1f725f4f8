package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestPythonLMTP runs the Python lines of docs/howto/script.md: the message
// reaches those who exist, and the script hears of the others.
func TestPythonLMTP(t *testing.T) {
	dir := folder(t)
	s := takesMail(t, "[lmtp]\nlisten = [\"unix:"+filepath.Join(dir, "lmtp.sock")+"\"]\n", "anna@example.org")
	l := lf("plain", head("plain")+"\nHello Bela,\n\n.\nhow are you?\n")
	script := "import sys\nmessage = sys.stdin.buffer.read()\n" +
		box(t, "script.md", "python", 0, "/run/poplin", dir, "news@example.org", "eve@example.com")
	cmd := command(t, "python3", "-c", script)
	cmd.Stdin = strings.NewReader(string(withoutReturnPath(l)))
	if got, want := string(run(t, cmd)), "carl@example.org 550 "; !strings.HasPrefix(got, want) {
		t.Errorf("the script prints %q, want %q", got, want)
	}
	arrived(t, s, "anna@example.org", []letter{l})
}
