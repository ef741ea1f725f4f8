package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/poplin-mail/poplin/internal/fetch/takeover"
	"github.com/poplin-mail/poplin/pop3client"
)

// TestTakeover: what the programs remember of a visit is read back, so that
// Poplin downloads what came later and nothing else; and the same can be told
// from the mail that they delivered, but for the letters that they changed.
func TestTakeover(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		program takeover.Program
		visit   func(t *testing.T, v visit) [][]byte
		memory  string // the file, as a pattern below the program's folder
		changed []string
	}{
		{takeover.Fetchmail, visitWithFetchmail, "ids", []string{"body without header", "long lines"}},
		{takeover.Mpop, visitWithMpop, "uidls", []string{"body without header"}},
		{takeover.Getmail, visitWithGetmail, "oldmail-*", []string{"body without header"}},
	} {
		t.Run(string(test.program), func(t *testing.T) {
			t.Parallel()
			letters := corpus()
			s := startPoplin(t, false).server
			s.maildir.fill(t, letters, 0)
			v := visit{s, overTLS, false, clientDir(t), clientDir(t)}
			test.visit(t, v)
			s.maildir.fill(t, []letter{late()}, len(letters))
			c := loginOverTLS(t, s)

			files, err := filepath.Glob(filepath.Join(v.state, test.memory))
			if err != nil || len(files) != 1 {
				t.Fatalf("files %q, %v", files, err)
			}
			program, err := takeover.Detect(files[0])
			if err != nil || program != test.program {
				t.Errorf("%s: detected as %q, %v", files[0], program, err)
			}
			accounts, err := takeover.Read(files[0])
			if err != nil || len(accounts) != 1 || !accounts[0].For("127.0.0.1", portNumber(t, s.tls), s.user) {
				t.Fatalf("%+v, %v", accounts, err)
			}
			var onServer, got []string
			listed, err := c.Uidl(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range listed {
				onServer = append(onServer, u.UID)
			}
			for _, seen := range accounts[0].Match(onServer) {
				got = append(got, seen.UID)
			}
			if want := onServer[:len(letters)]; !slices.Equal(got, want) || len(accounts[0].Seen) != len(want) {
				t.Errorf("of %d letters %d are seen, of %d in the file", len(want), len(got), len(accounts[0].Seen))
			}

			changed := notRebuilt(t, c, letters, onServer, v.out)
			if !slices.Equal(changed, test.changed) {
				t.Errorf("not found by their headers: %q", changed)
			}
			if err := c.Quit(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// notRebuilt names the letters that are not found in what was delivered to
// out, and ends the test where one is found that was not.
func notRebuilt(t *testing.T, c *pop3client.Client, letters []letter, onServer []string, out string) []string {
	t.Helper()
	var x takeover.Index
	if err := x.Add(t.Context(), asMaildir(t, out)); err != nil {
		t.Fatal(err)
	}
	r, err := takeover.Rebuild(t.Context(), c, &x, takeover.RebuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Messages != len(onServer) || r.Refused != 0 {
		t.Errorf("%d messages, %d refused", r.Messages, r.Refused)
	}
	found := map[string]bool{}
	for _, seen := range r.Seen {
		found[seen.UID] = true
	}
	var missing []string
	for i, uid := range onServer {
		switch {
		case i >= len(letters) && found[uid]:
			t.Error("a letter that was not there yet counts as delivered")
		case i < len(letters) && !found[uid]:
			missing = append(missing, letters[i].name)
		}
	}
	slices.Sort(missing)
	return missing
}

// asMaildir makes a Maildir of a folder of messages, unless it is one.
func asMaildir(t *testing.T, dir string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "cur")); err == nil {
		return dir
	}
	box := newMaildir(t, folder(t))
	for i, text := range filesIn(t, dir) {
		if err := os.WriteFile(filepath.Join(string(box), "new", fmt.Sprint(i)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(box)
}

func loginOverTLS(t *testing.T, s server) *pop3client.Client {
	t.Helper()
	c, err := pop3client.Dial(t.Context(), s.tls, &pop3client.Options{TLSConfig: s.authority.config()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort() })
	if err := c.Login(t.Context(), s.user, s.password); err != nil {
		t.Fatal(err)
	}
	return c
}

func portNumber(t *testing.T, addr string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(port(addr), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSwitchPage: the account that docs/howto/switch.md begins with is one.
func TestSwitchPage(t *testing.T) {
	t.Parallel()
	config := filepath.Join(folder(t), "poplin.toml")
	if err := os.WriteFile(config, []byte(box(t, "switch.md", "toml", 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, command(t, poplin, "config", "check", "--config", config))
}
