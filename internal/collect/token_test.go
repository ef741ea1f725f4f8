package collect

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
	"github.com/poplin-mail/poplin/internal/fetch/oauth"
)

// TestTokenRefused: a token that should be good and is refused is renewed once,
// and the login tried again; what is no refusal of the token renews nothing.
func TestTokenRefused(t *testing.T) {
	bearer := "+ " + base64.StdEncoding.EncodeToString([]byte(`{"status":"invalid_token"}`)) + "\r\n"
	for name, w := range map[string]struct {
		takes    string // the token that the server takes
		refusal  string
		gone     bool // the refresh token is good no longer
		says     string
		lasting  bool
		renewals int
		logins   int
	}{
		"the first is good":       {takes: "old", logins: 1},
		"by -ERR":                 {takes: "new-1", refusal: "-ERR [AUTH] no\r\n", renewals: 1, logins: 2},
		"by -ERR without a code":  {takes: "new-1", refusal: "-ERR no\r\n", renewals: 1, logins: 2},
		"by JSON":                 {takes: "new-1", refusal: bearer, renewals: 1, logins: 2},
		"the new one too":         {takes: "none", refusal: bearer, says: "invalid_token", lasting: true, renewals: 1, logins: 2},
		"revoked":                 {takes: "none", refusal: bearer, gone: true, says: "log in again: poplin fetch login work", lasting: true, renewals: 1, logins: 1},
		"for a while":             {takes: "none", refusal: "-ERR [SYS/TEMP] later\r\n", says: "[SYS/TEMP]", logins: 1},
		"by another session":      {takes: "none", refusal: "-ERR [IN-USE] wait\r\n", says: "[IN-USE]", logins: 1},
		"for ever, by the system": {takes: "none", refusal: "-ERR [SYS/PERM] closed\r\n", says: "[SYS/PERM]", lasting: true, logins: 1},
	} {
		t.Run(name, func(t *testing.T) {
			renewals, logins := 0, 0
			provider := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
				renewals++
				out.Header().Set("Content-Type", "application/json")
				if w.gone || in.FormValue("refresh_token") != "refresh" {
					out.WriteHeader(http.StatusBadRequest)
					fmt.Fprint(out, `{"error":"invalid_grant"}`)
					return
				}
				fmt.Fprintf(out, `{"access_token":"new-%d","token_type":"Bearer","expires_in":3600,"refresh_token":"refresh"}`, renewals)
			}))
			defer provider.Close()
			e := newEvil(t, config.TLS, 2, func(s *session, line string) bool {
				initial, found := strings.CutPrefix(line, "AUTH XOAUTH2 ")
				if !found {
					return false
				}
				logins++
				text, _ := base64.StdEncoding.DecodeString(initial)
				if string(text) == "user="+user+"\x01auth=Bearer "+w.takes+"\x01\x01" {
					s.say("+OK\r\n")
					return true
				}
				if s.say(w.refusal); strings.HasPrefix(w.refusal, "+") {
					s.r.ReadString('\n')
					s.say("-ERR no\r\n")
				}
				return true
			})
			e.caps = "SASL XOAUTH2\r\n"
			r := newReader(e, patience, "")
			c := r.collector(Options{})
			defer c.Close()
			c.Jobs[0].connector.account.OAuth = "custom"
			c.Jobs[0].connector.secret = tokenSecret{tokensAt(t, provider.URL, r.dir)}
			result := c.Once(t.Context(), fetch.Options{}, func(*Job, Result) {})[0]
			if (result.Err != nil) != (w.says != "") || !strings.Contains(result.Error, w.says) || result.Err != nil && result.Temporary == w.lasting {
				t.Errorf("error %v, temporary %t", result.Err, result.Temporary)
			}
			if renewals != w.renewals || logins != w.logins {
				t.Errorf("%d renewals and %d logins, want %d and %d", renewals, logins, w.renewals, w.logins)
			}
			if told := result.Error + r.notes.String(); strings.Contains(told, "new-1") || strings.Contains(told, "Bearer") {
				t.Errorf("what is told holds a token: %s", told)
			}
			if here := r.holds(); (len(here) == 2) != (w.says == "") {
				t.Errorf("%v are here", here)
			}
		})
	}
}

// tokensAt gives tokens of which one is stored that should be good.
func tokensAt(t *testing.T, provider, dir string) *oauth.Source {
	t.Helper()
	s, err := oauth.New(oauth.Config{Account: "work", ClientID: "id", Endpoints: oauth.Endpoints{TokenURL: provider}, Folder: filepath.Join(dir, "oauth")})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(map[string]any{"version": 1, "account": "work", "client_id": "id", "token_url": provider, "access_token": "old",
		"refresh_token": "refresh", "expiry": time.Now().Add(time.Hour), "issued": time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "oauth"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "oauth", "work.json"), stored, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}
