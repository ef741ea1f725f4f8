package oauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// deviceLogin logs in by a code in a bubble of time.
func deviceLogin(t *testing.T, p *provider, life time.Duration) (Prompt, *Source, error) {
	t.Helper()
	p.url = "https://provider.example"
	c := p.config(t.TempDir())
	c.Transport = inMemory{p}
	s := newSource(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), life)
	defer cancel()
	var shown []Prompt
	err := s.LoginDevice(ctx, func(prompt Prompt) { shown = append(shown, prompt) })
	harmless(t, err)
	if len(shown) > 1 {
		t.Errorf("shown %d times", len(shown))
	}
	return append(shown, Prompt{})[0], s, err
}

// gaps gives the times between polls, in seconds.
func gaps(begin time.Time, polls []time.Time) (seconds []int) {
	for _, at := range polls {
		seconds = append(seconds, int(at.Sub(begin)/time.Second))
		begin = at
	}
	return seconds
}

// RFC 8628 section 3.5: at the interval that the provider names, and 5 seconds
// later for each slow_down.
func TestDeviceLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider()
		p.scriptPoll = func(n int) string {
			return []string{"authorization_pending", "slow_down", "authorization_pending", "slow_down", "authorization_pending", ""}[n-1]
		}
		begin := time.Now()
		prompt, s, err := deviceLogin(t, p, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		want := Prompt{URL: "https://provider.example/device", Code: "ABCD-EFGH", Complete: "https://provider.example/device?code=ABCD-EFGH", Expires: begin.Add(15 * time.Minute)}
		if prompt.Expires.Equal(want.Expires) {
			prompt.Expires = want.Expires
		}
		if prompt != want {
			t.Errorf("shown %+v, want %+v", prompt, want)
		}
		if got := gaps(begin, p.polls); !slices.Equal(got, []int{7, 7, 12, 12, 17, 17}) {
			t.Errorf("polled after %v seconds", got)
		}
		if got := p.seen[0].Get("scope"); got != "https://mail.example/pop offline_access" {
			t.Errorf("asked for scope %q", got)
		}
		if got, err := s.Token(t.Context()); got != "SECRET-access-1" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestDeviceLoginEnds(t *testing.T) {
	for name, c := range map[string]struct {
		codes []string // of the polls; the last one is repeated
		life  time.Duration
		code  string // of the RefusedError
		err   error
		says  string
	}{
		"denied":            {[]string{"authorization_pending", "access_denied"}, time.Hour, "access_denied", nil, "refused, by you or by an administrator"},
		"declined":          {[]string{"authorization_declined"}, time.Hour, "authorization_declined", nil, "refused, by you"},
		"expired":           {[]string{"expired_token"}, time.Hour, "expired_token", nil, "not entered in time"},
		"never said":        {[]string{"authorization_pending"}, time.Hour, "expired_token", nil, "not entered in time"},
		"person gives up":   {[]string{"authorization_pending"}, time.Minute, "", context.DeadlineExceeded, ""},
		"unknown code":      {[]string{"wicked_code"}, time.Hour, "wicked_code", nil, "the provider refused"},
		"code of no form":   {[]string{"Wicked SECRET\x1b[2J"}, time.Hour, "", nil, "status 400"},
		"wrong client":      {[]string{"invalid_client"}, time.Hour, "invalid_client", nil, "check oauth_client_id"},
		"trouble to no end": {[]string{"temporarily_unavailable"}, time.Hour, "expired_token", nil, "not entered in time"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newProvider()
			p.scriptPoll = func(n int) string { return c.codes[min(n, len(c.codes))-1] }
			_, s, err := deviceLogin(t, p, c.life)
			var refused *RefusedError
			switch {
			case err == nil:
				t.Errorf("%s: no error", name)
			case c.err != nil && !errors.Is(err, c.err):
				t.Errorf("%s: got %v, want %v", name, err, c.err)
			case c.err == nil && (!errors.As(err, &refused) || refused.Code != c.code || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%s: got %v, want code %s that says %q", name, err, c.code, c.says)
			}
			if _, err := s.store.read(); !errors.Is(err, errNone) {
				t.Errorf("%s: stored: %v", name, err)
			}
		})
	}
}

// RFC 8628 section 3.5: after a time-out of the network, ask less often; the
// login goes on.
func TestDeviceLoginOverABadNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider()
		p.scriptPoll = func(n int) string {
			if n < 4 {
				return "authorization_pending"
			}
			return ""
		}
		bad := 0
		p.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/token" {
				return false
			}
			bad++
			switch bad {
			case 2:
				<-r.Context().Done() // no answer
				return true
			case 3:
				http.Error(w, "", http.StatusBadGateway)
				return true
			}
			return false
		}
		begin := time.Now()
		if _, _, err := deviceLogin(t, p, time.Hour); err != nil {
			t.Fatal(err)
		}
		// 7, then 7 and 30 for the time-out, then 14, then 28 each.
		if got := gaps(begin, p.polls); !slices.Equal(got, []int{7, 79, 28, 28}) {
			t.Errorf("polled after %v seconds", got)
		}
	})
}

// What a provider may have printed on a terminal, and how often it may have
// itself asked.
func TestDeviceAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		ok     bool
		first  int // seconds until the first poll
	}{
		"least":            {`{"device_code":"SECRET-device","user_code":"A","verification_uri":"https://provider.example/"}`, true, 5},
		"Google's name":    {`{"device_code":"SECRET-device","user_code":"A","verification_url":"https://provider.example/"}`, true, 5},
		"negative":         {`{"device_code":"SECRET-device","user_code":"A","verification_uri":"https://provider.example/","interval":-3,"expires_in":900}`, true, 5},
		"for ever":         {`{"device_code":"SECRET-device","user_code":"A","verification_uri":"https://provider.example/","interval":99999999999,"expires_in":9223372036}`, true, 60},
		"bad complete":     {`{"device_code":"SECRET-device","user_code":"A","verification_uri":"https://provider.example/","verification_uri_complete":"file:///etc/passwd"}`, true, 5},
		"no code":          {`{"user_code":"A","verification_uri":"https://provider.example/"}`, false, 0},
		"no user code":     {`{"device_code":"SECRET-device","verification_uri":"https://provider.example/"}`, false, 0},
		"escape":           {`{"device_code":"SECRET-device","user_code":"\u001b[2JSECRET","verification_uri":"https://provider.example/"}`, false, 0},
		"long":             {`{"device_code":"SECRET-device","user_code":"` + strings.Repeat("A", 65) + `","verification_uri":"https://provider.example/"}`, false, 0},
		"escape in URL":    {`{"device_code":"SECRET-device","user_code":"A","verification_uri":"https://provider.example/\u001b[2JSECRET"}`, false, 0},
		"clear text":       {`{"device_code":"SECRET-device","user_code":"A","verification_uri":"http://provider.example/SECRET"}`, false, 0},
		"script":           {`{"device_code":"SECRET-device","user_code":"A","verification_uri":"javascript:alert(SECRET)"}`, false, 0},
		"no JSON":          {`SECRET`, false, 0},
		"number for a URL": {`{"device_code":"SECRET-device","user_code":"A","verification_uri":7}`, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newProvider()
			p.device = "SECRET-device"
			p.scriptPoll = func(int) string { return "" }
			p.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/device" {
					io.WriteString(w, c.answer)
					return true
				}
				return false
			}
			begin := time.Now()
			prompt, _, err := deviceLogin(t, p, 48*time.Hour)
			if (err == nil) != c.ok || !c.ok && prompt != (Prompt{}) {
				t.Errorf("%s: shown %+v, then %v", name, prompt, err)
			}
			if c.ok && (len(p.polls) != 1 || gaps(begin, p.polls)[0] != c.first || prompt.Expires.After(begin.Add(codeLongest)) || prompt.Complete != "") {
				t.Errorf("%s: polled after %v seconds, shown %+v", name, gaps(begin, p.polls), prompt)
			}
		})
	}
}

// Cancelled while the provider does not answer the very first request, to
// which the library does not pass the context.
func TestDeviceLoginIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider()
		p.before = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		begin := time.Now()
		_, _, err := deviceLogin(t, p, time.Second)
		if took := time.Since(begin); err == nil || took != time.Second {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestNoDeviceFlow(t *testing.T) {
	p := start(t)
	c := p.config(t.TempDir())
	c.Endpoints.DeviceURL = ""
	if err := newSource(t, c).LoginDevice(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "log in by the browser") {
		t.Errorf("got %v", err)
	}
	c.Endpoints.AuthURL = ""
	if err := newSource(t, c).LoginBrowser(t.Context(), nil); err == nil {
		t.Error("no error without a URL for the browser")
	}
}
