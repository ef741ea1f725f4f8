package sasl

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	gosasl "github.com/emersion/go-sasl"
)

func TestBearer(t *testing.T) {
	long := strings.Repeat("t", 12<<10)
	cases := []struct {
		what         string
		client       gosasl.Client
		name         string
		initial      string // empty: not compared
		user, token  string
		authenticate error
		status       string
	}{
		// RFC 7628 section 4.1, without host and port
		{"example", NewOAuthBearerClient("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="), "OAUTHBEARER",
			"n,a=user@example.com,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01", "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", nil, ""},
		{"nobody named", NewOAuthBearerClient("", "t"), "OAUTHBEARER", "n,,\x01auth=Bearer t\x01\x01", "", "t", nil, ""},
		{"escaped", NewOAuthBearerClient("a=b,c", "t"), "OAUTHBEARER", "n,a=a=3Db=2Cc,\x01auth=Bearer t\x01\x01", "a=b,c", "t", nil, ""},
		{"long", NewOAuthBearerClient("u", long), "OAUTHBEARER", "", "u", long, nil, ""},
		{"refused", NewOAuthBearerClient("u", "t"), "OAUTHBEARER", "", "u", "t", &BearerError{Status: "insufficient_scope", Scope: "pop"}, "insufficient_scope"},
		{"xoauth2", NewXOAUTH2Client("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"), "XOAUTH2",
			"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01", "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", nil, ""},
		{"xoauth2 refused", NewXOAUTH2Client("u", "t"), "XOAUTH2", "", "u", "t", &BearerError{Status: "invalid_token"}, "invalid_token"},
	}
	for _, c := range cases {
		name, initial, err := c.client.Start()
		if name != c.name || err != nil || c.initial != "" && string(initial) != c.initial {
			t.Errorf("%s: %s %q, %v", c.what, name, initial, err)
		}
		asked := 0
		server := NewBearerServer(c.name, func(username, token string) error {
			if asked++; username != c.user || token != c.token {
				t.Errorf("%s: user %q, token %.40q", c.what, username, token)
			}
			return c.authenticate
		})
		err = exchange(c.client, server)
		var told *BearerError
		if errors.As(err, &told) != (c.status != "") || told != nil && told.Status != c.status || c.status == "" && err != nil || asked != 1 {
			t.Errorf("%s: error %v, asked %d times", c.what, err, asked)
		}
		if c.status == "" {
			if _, _, err := server.Next([]byte(c.initial)); err == nil {
				t.Errorf("%s: a second try is taken", c.what)
			}
			continue
		}
		if _, done, err := server.Next([]byte("\x01")); err != c.authenticate || done {
			t.Errorf("%s: at the end %v, %v", c.what, done, err)
		}
		if _, _, err := server.Next(nil); err == nil {
			t.Errorf("%s: it goes on after the end", c.what)
		}
	}
}

// TestBearerNotAsked: where nobody could say whether the token is good, the
// client is not told that it is bad: it would throw it away.
func TestBearerNotAsked(t *testing.T) {
	away := errors.New("the issuer is away")
	server := NewBearerServer("XOAUTH2", func(string, string) error { return away })
	if challenge, done, err := server.Next([]byte("user=u\x01auth=Bearer t\x01\x01")); err != away || done || challenge != nil {
		t.Errorf("%q, %v, %v", challenge, done, err)
	}
	if _, _, err := server.Next(nil); err == nil {
		t.Error("it goes on after the end")
	}
}

func TestBearerHostileClient(t *testing.T) {
	bad := map[string][]string{
		"OAUTHBEARER": {"", "n", "n,", "n,,", "n,,\x01", "n,,\x01\x01", "n,,\x01auth=Bearer \x01\x01", "n,,\x01auth=Basic x\x01\x01", "n,,\x01auth=Bearer x\x01", "n,,\x01auth=Bearer x",
			"p=tls-exporter,,\x01auth=Bearer x\x01\x01", "n,b=u,\x01auth=Bearer x\x01\x01", "n,a=,\x01auth=Bearer x\x01\x01", "n,a=u=2,\x01auth=Bearer x\x01\x01", "n,a=u,x,\x01auth=Bearer x\x01\x01",
			"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01", "n,,\x01host\x01auth=Bearer x\x01\x01", "n,,\x01=\x01auth=Bearer x\x01\x01", "n,,\x01auth=Bearer x\x00y\x01\x01", "n,a=u\x01auth=Bearer x\x01\x01"},
		"XOAUTH2": {"", "user=u", "user=u\x01\x01", "user=\x01auth=Bearer t\x01\x01", "auth=Bearer t\x01\x01", "user=u\x01auth=Bearer t\x01", "user=u\x01user=v\x01auth=Bearer t\x01\x01",
			"user=u\x01auth=t\x01\x01", "user=u\x00\x01auth=Bearer t\x01\x01", "n,a=u,\x01auth=Bearer t\x01\x01"},
	}
	for name, messages := range bad {
		for _, m := range messages {
			server := NewBearerServer(name, func(username, token string) error {
				t.Errorf("%s %q: asked for %q with %q", name, m, username, token)
				return nil
			})
			challenge, done, err := server.Next([]byte(m))
			var e BearerError
			if err != nil || done || json.Unmarshal(challenge, &e) != nil || e.Status != "invalid_request" {
				t.Errorf("%s %q: %q, %v, %v", name, m, challenge, done, err)
			}
			if _, done, err := server.Next([]byte{}); err == nil || done {
				t.Errorf("%s %q: taken", name, m)
			}
		}
	}
	good := "n,a=u,\x01host=pop.example\x01port=995\x01AUTH=bearer t\x01x=\x01\x01"
	server := NewBearerServer("OAUTHBEARER", func(username, token string) error {
		if username != "u" || token != "t" {
			t.Errorf("%q, %q", username, token)
		}
		return nil
	})
	if challenge, done, err := server.Next(nil); err != nil || done || len(challenge) != 0 {
		t.Errorf("before the first response: %q, %v, %v", challenge, done, err)
	}
	if _, done, err := server.Next([]byte(good)); err != nil || !done {
		t.Errorf("%q: %v", good, err)
	}
}

func TestBearerHostileServer(t *testing.T) {
	for _, challenge := range []string{"", "{}", "null", "[]", "{\"status\":1}", "eyJ", strings.Repeat("[", 100_000)} {
		client := NewXOAUTH2Client("u", "t")
		var e *BearerError
		if _, err := client.Next([]byte(challenge)); err == nil || errors.As(err, &e) {
			t.Errorf("challenge %.20q: %v", challenge, err)
		}
	}
	text := (&BearerError{Status: "x\r\n", Scope: "a\x1b"}).Error()
	if strings.ContainsAny(text, "\r\n\x1b") {
		t.Errorf("the server's text goes out as it is: %q", text)
	}
}

func FuzzBearerServer(f *testing.F) {
	f.Add("n,a=u,\x01auth=Bearer t\x01\x01")
	f.Add("user=u\x01auth=Bearer t\x01\x01")
	f.Add("n,a=\x00,\x01auth=Bearer t\x01\x01")
	f.Fuzz(func(t *testing.T, message string) {
		for _, name := range []string{"OAUTHBEARER", "XOAUTH2"} {
			server := NewBearerServer(name, func(username, token string) error {
				if token == "" || strings.ContainsAny(username+token, "\x00\x01") {
					t.Errorf("%s: user %q, token %q", name, username, token)
				}
				return nil
			})
			server.Next([]byte(message))
		}
	})
}
