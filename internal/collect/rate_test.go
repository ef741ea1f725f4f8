package collect

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
)

// TestRate: rate bounds what comes a second, and no single read waits for long.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			theirs.Write(make([]byte, 20_000))
			theirs.Close()
		}()
		conn, begun, longest, got := slowed(ours, 1000), time.Now(), time.Duration(0), 0
		for buf := make([]byte, 4096); ; {
			before := time.Now()
			n, err := conn.Read(buf)
			longest = max(longest, time.Since(before))
			if got += n; err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); got != 20_000 || took < 19*time.Second || took > 21*time.Second || longest > time.Second {
			t.Errorf("%d octets in %v, the longest read %v", got, took, longest)
		}
	})
}

// TestLoginOf: accounts and targets are found by their names, an account first.
func TestLoginOf(t *testing.T) {
	c := config.Default()
	c.State = t.TempDir()
	oauth := config.Login{User: "anna", OAuth: config.Microsoft, OAuthClientID: "id"}
	c.Fetch.Accounts = []config.Account{{Name: "work", Login: config.Login{User: "a", Keyring: true}}}
	c.Target.Targets = []config.Target{{Name: "work", Kind: config.IMAPTarget, Login: oauth}, {Name: "desk", Kind: config.SMTPTarget, Login: config.Login{User: "d", Keyring: true}}}
	for name, want := range map[string]string{"work": "work", "desk": "target:desk", "target:desk": "target:desk"} {
		l, err := LoginOf(c, name, Options{})
		if ring, ok := l.Keyring(); err != nil || !ok || ring.Account != want {
			t.Errorf("%s: %+v, error %v", name, l, err)
		}
	}
	if l, err := LoginOf(c, "target:work", Options{}); err != nil || l.Tokens() == nil || l.User != "anna" {
		t.Errorf("the target beside an account of its name: %+v, error %v", l, err)
	}
	if _, err := LoginOf(c, "none", Options{}); err == nil {
		t.Error("there is no such name")
	}
}
