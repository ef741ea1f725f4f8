package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestFetchOAuth: the whole circle from the consent to the mail. A person
// consents by a code; the token lies closed to others; `poplin fetch` logs in
// with it at `poplin serve`, renews it when it has run out and when the server
// refuses it, and says what to do when the consent was taken back.
func TestFetchOAuth(t *testing.T) {
	for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			s := startOAuth(t, `["file", "oauth"]`, signed)
			p := startConsent(t, func(life time.Duration, good bool) string {
				audience := "poplin"
				if !good {
					audience = "calendar"
				}
				return s.key.sign(t, s.claims("exp", time.Now().Add(life).Unix(), "aud", audience))
			})
			c := newConsenter(t, s, p, mechanism)
			mail := maildir(filepath.Join(s.dir, "mail", c.user))
			mail.fill(t, corpus()[:3], 0)

			c.fails("work: nobody has logged in yet: log in again: poplin fetch login work")

			p.next(30*time.Second, false) // which is as good as over
			c.consentByCode()
			c.tokenIsClosed()
			p.next(time.Hour, true)
			s.loggedIn(t, c.user, mechanism, func() { run(t, c.command()) }) // renewed, refused, and renewed again
			if n := p.renewed(); n != 2 {
				t.Errorf("a token that had run out, and one that was refused: %d renewals, want 2", n)
			}
			mail.fill(t, corpus()[3:4], 3)
			s.loggedIn(t, c.user, mechanism, func() { run(t, c.command()) })
			if n := p.renewed(); n != 2 {
				t.Errorf("a good token was renewed: %d renewals", n)
			}
			if n := len(c.fetched(t)); n != 4 || len(mail.files(t)) != 0 {
				t.Errorf("%d messages are here, and %d on the server", n, len(mail.files(t)))
			}

			p.revoke()
			c.expire()
			c.fails("work: the provider takes the stored token no longer: log in again: poplin fetch login work")
			c.consentByBrowser()
			mail.fill(t, corpus()[4:5], 4)
			s.loggedIn(t, c.user, mechanism, func() { run(t, c.command()) })
			if n := len(c.fetched(t)); n != 5 {
				t.Errorf("%d messages are here in the end", n)
			}
			*s.tokens = append(*s.tokens, p.tokens...)
			s.noTokens(t)
			c.toldNoTokens()
		})
	}
}

// consenter is an account that logs in by OAuth, and its owner.
type consenter struct {
	*testing.T
	fetcher
	*consent
	user string
	told strings.Builder // all that was printed
}

func newConsenter(t *testing.T, s oauthServer, p *consent, mechanism string) *consenter {
	t.Helper()
	dir := folder(t)
	c := &consenter{T: t, consent: p, user: "anna@example.org", fetcher: fetcher{filepath.Join(dir, "poplin.toml"), filepath.Join(dir, "Mail")}}
	text := fmt.Sprintf("state = \"state\"\n[fetch.work]\nserver = \"localhost:%s\"\ntls_ca_file = %q\nuser = %q\nto = \"maildir:Mail\"\nmechanisms = [%q]\n"+
		"oauth = \"custom\"\noauth_client_id = \"poplin-fetch\"\noauth_scopes = [\"pop\", \"offline_access\"]\noauth_device_url = \"%[5]s/device\"\noauth_auth_url = \"%[5]s/authorize\"\noauth_token_url = \"%[5]s/token\"\n",
		port(s.tls), s.authority.cert, c.user, mechanism, p.URL)
	if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// fails fetches, which fails in a way that somebody must mend.
func (c *consenter) fails(says string) {
	c.Helper()
	cmd := c.command()
	out, _ := cmd.CombinedOutput()
	c.told.Write(out)
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), says) {
		c.Errorf("exit code %d, and it says %s", cmd.ProcessState.ExitCode(), out)
	}
}

// login runs `poplin fetch login`, and does what it asks of a person.
func (c *consenter) login(form string, person func(found []string), args ...string) {
	c.Helper()
	cmd := command(c.T, poplin, append([]string{"fetch", "login", "--config", c.config, "work"}, args...)...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	asks := regexp.MustCompile(form)
	lines := bufio.NewScanner(io.TeeReader(errs, &c.told))
	done := false
	for lines.Scan() {
		if found := asks.FindStringSubmatch(lines.Text()); found != nil {
			person(found)
			done = true
		}
	}
	if err := cmd.Wait(); err != nil || !done {
		c.Fatalf("login: %v\n%s", err, &c.told)
	}
}

func (c *consenter) consentByCode() {
	c.Helper()
	c.login(`open (http\S+) and enter the code (\S+),`, func(found []string) {
		resp, err := http.PostForm(found[1], url.Values{"code": {found[2]}})
		if err != nil {
			c.Fatal(err)
		}
		resp.Body.Close()
	}, "--device")
}

func (c *consenter) consentByBrowser() {
	c.Helper()
	c.login(`^(http\S+)$`, func(found []string) {
		resp, err := http.Get(found[1]) // and to where it is redirected
		if err != nil {
			c.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			c.Errorf("the browser ends at %s", resp.Status)
		}
	})
}

// stored gives the path of the token.
func (c *consenter) stored() string {
	return filepath.Join(filepath.Dir(c.config), "state", "oauth", "work.json")
}

func (c *consenter) tokenIsClosed() {
	c.Helper()
	for path, mode := range map[string]os.FileMode{c.stored(): 0o600, filepath.Dir(c.stored()): 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			c.Errorf("%s: %v, error %v, want mode %v", path, info, err, mode)
		}
	}
}

// expire has the stored token run out.
func (c *consenter) expire() {
	c.Helper()
	text, err := os.ReadFile(c.stored())
	if err != nil {
		c.Fatal(err)
	}
	expiry := regexp.MustCompile(`"expiry": ?"[^"]*"`)
	if !expiry.Match(text) {
		c.Fatal("the stored token has no expiry")
	}
	text = expiry.ReplaceAll(text, fmt.Appendf(nil, `"expiry":%q`, time.Now().Add(-time.Second).Format(time.RFC3339)))
	if err := os.WriteFile(c.stored(), text, 0o600); err != nil {
		c.Fatal(err)
	}
}

// toldNoTokens checks that nothing printed holds a token.
func (c *consenter) toldNoTokens() {
	c.Helper()
	for _, token := range c.tokens {
		if strings.Contains(c.told.String(), token) {
			c.Errorf("a token was printed: %s", &c.told)
		}
	}
}
