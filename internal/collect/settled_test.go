package collect

import (
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
)

// TestSettled: how a target is written does not make another one of it.
func TestSettled(t *testing.T) {
	for _, c := range []struct{ written, want config.Target }{
		{config.Target{Server: "LOCALHOST:24"}, config.Target{Server: "localhost:24"}},
		{config.Target{Server: "unix:/run/LMTP"}, config.Target{Server: "unix:/run/LMTP"}},
		{config.Target{Server: "IMAP.example.org", Folder: "inbox"}, config.Target{Server: "imap.example.org", Folder: "INBOX"}},
		{config.Target{Folder: "Inbox/Old"}, config.Target{Folder: "Inbox/Old"}},
		{config.Target{Command: " new-ticket  x "}, config.Target{Command: "new-ticket  x"}},
	} {
		got := settled(c.written)
		if got.Server != c.want.Server || got.Folder != c.want.Folder || got.Command != c.want.Command {
			t.Errorf("%+v becomes %+v", c.written, got)
		}
	}
}
