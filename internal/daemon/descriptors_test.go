package daemon

import (
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/internal/config"
)

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		store       string
		sessions    int
		lmtp        int // sessions, 0: it is off
		descriptors uint64
		want        int
		needed      string
	}{
		{config.Maildir, 20_000, 0, 65_536, 20_000, ""},
		{config.Maildir, 20_000, 0, 40_128, 20_000, ""},
		{config.Maildir, 20_000, 0, 40_127, 19_999, "40128"},
		{config.Maildir, 20_000, 0, 20_000, 9_936, "40128"},
		{config.Maildir, 20_000, 200, 41_328, 20_000, ""},
		{config.Maildir, 20_000, 200, 20_000, 9_336, "41328"},
		{config.Bucket, 20_000, 0, 20_128, 20_000, ""},
		{config.Memory, 20_000, 0, 20_000, 19_872, "20128"},
		{config.Maildir, 20_000, 200, 128, 32, "41328"},
		{config.Maildir, 100, 0, unix.RLIM_INFINITY, 100, ""},
	} {
		cfg := config.Default()
		cfg.Maildrops.Store, cfg.Limits.Sessions = tt.store, tt.sessions
		if tt.lmtp > 0 {
			cfg.LMTP.Listen, cfg.LMTP.Sessions = []string{"127.0.0.1:24"}, tt.lmtp
		}
		l := new(log)
		if got := fit(cfg, tt.descriptors, slog.New(slog.NewTextHandler(l, nil))); got != tt.want {
			t.Errorf("%+v: %d sessions", tt, got)
		}
		if text := l.String(); (text == "") != (tt.needed == "") || !strings.Contains(text, tt.needed) {
			t.Errorf("%+v: the log says %q", tt, text)
		}
	}
}
