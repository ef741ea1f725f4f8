package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFetchLoginDevice: --device is named where the provider lets programs for
// mail log in that way.
func TestFetchLoginDevice(t *testing.T) {
	for provider, want := range map[string]bool{"google": false, "microsoft": true} {
		dir := t.TempDir()
		file := filepath.Join(dir, "fetch.toml")
		config := `state = "` + filepath.Join(dir, "state") + `"
[fetch.work]
server = "pop.example.org"
user = "anna@example.org"
oauth = "` + provider + `"
oauth_client_id = "client"
to = "maildir:Mail"
`
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		told := &shown{cancel: cancel}
		Run(ctx, []string{"fetch", "login", "work", "--config", file}, strings.NewReader(""), io.Discard, told)
		cancel()
		text := told.String()
		if !strings.Contains(text, "Open this in a browser") || strings.Contains(text, "--device") != want {
			t.Errorf("%s: %q", provider, text)
		}
	}
}

// shown ends a login when its URL is shown.
type shown struct {
	bytes.Buffer
	cancel func()
}

// Write implements io.Writer.
func (s *shown) Write(p []byte) (int, error) {
	defer s.cancel()
	return s.Buffer.Write(p)
}
