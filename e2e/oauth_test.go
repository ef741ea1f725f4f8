package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// oauthServer is `poplin serve` with an issuer, and all tokens that it was
// given.
type oauthServer struct {
	poplinServer
	*issuer
	key    signingKey // of the issuer
	tokens *[]string
}

// startOAuth starts both. source is the value of users.source; keys go into
// the table [users.oauth].
func startOAuth(t *testing.T, source string, keys func(*issuer) string) oauthServer {
	t.Helper()
	s := oauthServer{poplinServer: startPoplin(t, false), key: newSigningKey(t, "first"), tokens: new([]string)}
	s.issuer = startIssuer(t, s.authority, s.key)
	for _, name := range []string{"anna@example.org", "bert@example.org"} {
		newMaildir(t, filepath.Join(s.dir, "mail", name))
	}
	s.process.signal(syscall.SIGTERM)
	s.process.wait(t)
	s.process, s.plain, s.tls = startListening(t, func(plain, tls string) *exec.Cmd {
		s.configure(t, false, plain, tls)
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), `source = "file"`, "source = "+source, 1) +
			fmt.Sprintf("[users.oauth]\naudience = \"poplin\"\nca_file = %q\n%s\n[limits]\nknown_networks = [\"127.0.0.0/8\"]\n",
				s.authority.ca, keys(s.issuer))
		if err := os.WriteFile(s.config, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.command()
	})
	return s
}

// signed are the keys for JWTs.
func signed(i *issuer) string {
	return fmt.Sprintf("issuer = %q\nscopes = [\"pop\"]\n", i.url)
}

// session is a connection over TLS.
type session struct {
	t *testing.T
	*tls.Conn
	r *bufio.Reader
}

func (s oauthServer) dial(t *testing.T) *session {
	t.Helper()
	conn, err := tls.Dial("tcp", s.tls, s.authority.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := &session{t, conn, bufio.NewReader(conn)}
	c.want("+OK")
	return c
}

// want reads a line that must begin so, and gives the rest of it.
func (c *session) want(start string) string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	rest, ok := strings.CutPrefix(line, start)
	if err != nil || !ok {
		c.t.Fatalf("the server says %q (%v), want %s", line, err, start)
	}
	return strings.TrimSuffix(rest, "\r\n")
}

func (c *session) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// initial is what a client begins a mechanism with.
func initial(mechanism, user, token string) string {
	text := "n,a=" + user + ",\x01host=127.0.0.1\x01port=995\x01auth=Bearer " + token + "\x01\x01"
	switch {
	case mechanism == "XOAUTH2":
		text = "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"
	case user == "":
		text = "n,,\x01auth=Bearer " + token + "\x01\x01"
	}
	return base64.StdEncoding.EncodeToString([]byte(text))
}

// reply logs in with a token, and gives the last reply and the JSON before it.
func (s oauthServer) reply(t *testing.T, mechanism, user, token string) (last, told string) {
	t.Helper()
	*s.tokens = append(*s.tokens, token)
	c := s.dial(t)
	c.say("AUTH " + mechanism)
	c.want("+ ")
	c.say(initial(mechanism, user, token))
	line := c.want("")
	if challenge, ok := strings.CutPrefix(line, "+ "); ok {
		text, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		told = string(text)
		if mechanism == "XOAUTH2" {
			c.say("")
		} else {
			c.say("AQ==") // RFC 7628 section 3.2.3
		}
		line = c.want("")
	}
	c.say("QUIT")
	_, _ = io.Copy(io.Discard, c.r) // until the maildrop is free again
	return line, told
}

// wantReply checks the reply to a token of anna.
func (s oauthServer) wantReply(t *testing.T, token, want string) {
	t.Helper()
	got, told := s.reply(t, "OAUTHBEARER", "anna@example.org", token)
	if !strings.HasPrefix(got, want) {
		t.Errorf("the server says %q, want %s", got, want)
	}
	if (told != "") != (want == "-ERR [AUTH]") {
		t.Errorf("%s, and of the token the client is told %q", want, told)
	}
}

// noTokens checks that the log holds no token, nor the claims or the
// signature of one.
func (s oauthServer) noTokens(t *testing.T) {
	t.Helper()
	log := s.process.log.String()
	for _, token := range *s.tokens {
		for part := range strings.SplitSeq(token, ".") {
			if len(part) > 10 && strings.Contains(log, part) {
				t.Errorf("the log holds %q of a token", part)
			}
		}
	}
	if strings.Contains(log, clientSecret) {
		t.Error("the log holds the client's secret")
	}
}

// TestOAuthByCurl: curl 7.88.1 logs in by both mechanisms, and is refused. It
// takes XOAUTH2 only where OAUTHBEARER is not offered.
func TestOAuthByCurl(t *testing.T) {
	for _, l := range []struct{ source, mechanism, options string }{
		{`["file", "oauth"]`, "OAUTHBEARER", ""},
		{"[\"file\", \"oauth\"]\nmechanisms = [\"PLAIN\", \"XOAUTH2\"]", "XOAUTH2", "sasl-ir\n"},
	} {
		t.Run(l.mechanism, func(t *testing.T) {
			s := startOAuth(t, l.source, signed)
			for _, tr := range []transport{overTLS, overSTLS} {
				v := visit{server: s.server, transport: tr, state: clientDir(t)}
				v.user, v.password = "anna@example.org", ""
				config := func(claims map[string]any) string {
					token := s.key.sign(t, claims)
					*s.tokens = append(*s.tokens, token)
					return curlConfig(v, "", fmt.Sprintf("oauth2-bearer = %q\n%s", token, l.options))
				}
				s.loggedIn(t, v.user, l.mechanism, func() { runCurl(t, v, config(s.claims())) })
				// As large as the tokens of users in many groups are.
				s.loggedIn(t, v.user, l.mechanism, func() { runCurl(t, v, config(s.claims("groups", strings.Repeat("group ", 700)))) })
				wrong := command(t, "curl", "--disable", "--config", writeConfig(t, v, "wrong", config(s.claims("aud", "calendar"))))
				if out, err := wrong.CombinedOutput(); wrong.ProcessState.ExitCode() != 67 { // CURLE_LOGIN_DENIED
					t.Errorf("a token for another service over %s: %v, %s", tr, err, out)
				}
				ofFile := visit{server: s.server, transport: tr, state: v.state}
				s.loggedIn(t, "bela", "PLAIN", func() { curl(t, ofFile, "", `login-options = "AUTH=PLAIN"`) })
			}
			s.noTokens(t)
		})
	}
}

// TestOAuthTokens: what is wrong with a token.
func TestOAuthTokens(t *testing.T) {
	s := startOAuth(t, `"oauth"`, signed)
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	stranger := newSigningKey(t, s.key.kid)
	unknown := newSigningKey(t, "unknown")
	ago, soon := time.Now().Add(-time.Minute).Unix(), time.Now().Add(2*time.Minute).Unix()
	good := s.key.sign(t, s.claims())
	for _, c := range []struct{ what, user, token, status string }{ // status empty: taken
		{"right", "anna@example.org", good, ""},
		{"of another audience", "anna@example.org", s.key.sign(t, s.claims("aud", "calendar")), "invalid_token"},
		{"of another issuer", "anna@example.org", s.key.sign(t, s.claims("iss", "https://issuer.example.org")), "invalid_token"},
		{"without the scope", "anna@example.org", s.key.sign(t, s.claims("scope", "openid imap")), "insufficient_scope"},
		{"expired", "anna@example.org", s.key.sign(t, s.claims("exp", ago)), "invalid_token"},
		{"not valid yet", "anna@example.org", s.key.sign(t, s.claims("nbf", soon)), "invalid_token"},
		{"not signed", "anna@example.org", unsigned("none", s.key.kid, s.claims()) + ".", "invalid_token"},
		{"signed with the public key", "anna@example.org", signShared(public, s.key.kid, s.claims()), "invalid_token"},
		{"signed with the public key in DER", "anna@example.org", signShared(der, s.key.kid, s.claims()), "invalid_token"},
		{"of a stranger", "anna@example.org", stranger.sign(t, s.claims()), "invalid_token"},
		{"of an unknown key", "anna@example.org", unknown.sign(t, s.claims()), "invalid_token"},
		{"of another user", "bert@example.org", good, "invalid_token"},
		{"with an address that is not verified", "anna@example.org", s.key.sign(t, s.claims("email_verified", false)), "invalid_token"},
		{"without a name", "anna@example.org", s.key.sign(t, s.claims("email", nil)), "invalid_token"},
		{"no token at all", "anna@example.org", "rubbish", "invalid_token"},
		{"right again", "anna@example.org", good, ""},
	} {
		for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
			got, told := s.reply(t, mechanism, c.user, c.token)
			if c.status == "" && (!strings.HasPrefix(got, "+OK") || told != "") ||
				c.status != "" && (!strings.HasPrefix(got, "-ERR [AUTH]") || !strings.Contains(told, fmt.Sprintf(`"status":%q`, c.status))) {
				t.Errorf("%s, %s: %q after %q", c.what, mechanism, got, told)
			}
		}
	}

	// A session goes on after a token that is refused, and OAUTHBEARER need
	// not say who the user is.
	c := s.dial(t)
	c.say("AUTH XOAUTH2 " + initial("XOAUTH2", "bert@example.org", good))
	c.want("+ ")
	c.say("")
	c.want("-ERR [AUTH]")
	c.say("AUTH OAUTHBEARER " + initial("OAUTHBEARER", "bert@example.org", good))
	c.want("+ ")
	c.say("*")
	c.want("-ERR")
	c.say("AUTH OAUTHBEARER " + initial("OAUTHBEARER", "", good))
	c.want("+OK")
	c.say("STAT")
	c.want("+OK 0 0")
	s.noTokens(t)
}

// TestOAuthIssuer: an issuer that changes its key, goes and comes back. Poplin
// asks for keys every 10 seconds at most, whatever tokens name.
func TestOAuthIssuer(t *testing.T) {
	t.Parallel()
	s := startOAuth(t, `"oauth"`, signed)
	s.stop(t)
	first := s.key.sign(t, s.claims())
	s.wantReply(t, first, "-ERR [SYS/TEMP]")
	s.start(t, s.address())
	s.wantReply(t, first, "+OK")
	fetched := time.Now()

	second := newSigningKey(t, "second")
	for range 10 {
		s.wantReply(t, second.sign(t, s.claims()), "-ERR [AUTH]")
	}
	s.setKeys(s.key, second)
	for end := fetched.Add(patience); ; time.Sleep(200 * time.Millisecond) {
		got, _ := s.reply(t, "OAUTHBEARER", "anna@example.org", second.sign(t, s.claims()))
		if strings.HasPrefix(got, "+OK") {
			break
		}
		if !strings.HasPrefix(got, "-ERR [AUTH]") || time.Now().After(end) {
			t.Fatalf("a token of the new key: %q", got)
		}
	}
	if n, most := s.timesFetched(), 2+int(time.Since(fetched)/(10*time.Second)); n > most {
		t.Errorf("the keys were fetched %d times, want %d at most", n, most)
	}
	s.stop(t)
	s.wantReply(t, first, "+OK") // a key that is known needs no issuer
	s.wantReply(t, s.key.sign(t, s.claims("exp", 1)), "-ERR [AUTH]")
	s.start(t, s.address())
	s.noTokens(t)
}

// TestOAuthIntrospection: tokens that only the issuer can read.
func TestOAuthIntrospection(t *testing.T) {
	s := startOAuth(t, `"oauth"`, func(i *issuer) string {
		return fmt.Sprintf("introspection_url = \"%s/introspect\"\nclient_id = \"poplin\"\nclient_secret = %q\nuser_claim = \"username\"\nscopes = [\"pop\"]\n",
			i.url, clientSecret)
	})
	active := func(token string, changes ...any) string {
		s.answer(token, s.claims(append([]any{"active", true, "username", "anna@example.org"}, changes...)...))
		return token
	}
	good := active("opaque token that is right")
	s.wantReply(t, good, "+OK")
	s.wantReply(t, "opaque token that nobody knows", "-ERR [AUTH]")
	s.wantReply(t, active("opaque token for another service", "aud", "calendar"), "-ERR [AUTH]")
	s.wantReply(t, active("opaque token of the past", "exp", 1), "-ERR [AUTH]")
	s.wantReply(t, active("opaque token without scope", "scope", "openid"), "-ERR [AUTH]")
	s.wantReply(t, active("opaque token of another", "username", "bert@example.org"), "-ERR [AUTH]")
	s.wantReply(t, active("opaque token of nobody", "username", nil), "-ERR [AUTH]")
	s.wantReply(t, active("opaque token with a huge answer", "x", strings.Repeat("x", 2<<20)), "-ERR [SYS/TEMP]")
	s.stop(t)
	s.wantReply(t, good, "-ERR [SYS/TEMP]")
	s.start(t, s.address())
	s.wantReply(t, good, "+OK")
	s.answer(good, map[string]any{"active": false}) // withdrawn: each login asks
	s.wantReply(t, good, "-ERR [AUTH]")
	s.noTokens(t)
}

// TestOAuthWrongSecret: that the issuer refuses this server is no fault of
// the token.
func TestOAuthWrongSecret(t *testing.T) {
	s := startOAuth(t, `"oauth"`, func(i *issuer) string {
		return fmt.Sprintf("introspection_url = \"%s/introspect\"\nclient_id = \"poplin\"\nclient_secret = \"wrong\"\n", i.url)
	})
	s.answer("opaque", s.claims("active", true))
	s.wantReply(t, "opaque", "-ERR [SYS/TEMP]")
	s.process.waitLog(t, "the server answers 401", 1)
}
