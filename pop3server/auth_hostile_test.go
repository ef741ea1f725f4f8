package pop3server_test

import (
	"strings"
	"testing"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3server"
)

// TestAuthHostile covers "AUTH: broken base64, 0/1/3/4 NULs in PLAIN, authzid,
// cancel and EOF at each step, 1 MB -> right result, and a bystander session
// never notices": each exchange goes wrong in each way at each of its steps.
func TestAuthHostile(t *testing.T) {
	opts := clear
	opts.Mechanisms = []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "CRAM-MD5", "PLAIN", "LOGIN"}
	opts.MaxSessionsPerAddr = -1
	srv, addr := serve(t, store(t), ring, opts)
	bystander := login(t, addr)
	steps := map[string][]string{ // good responses, but for the last
		"PLAIN":         {""},
		"LOGIN":         {b64("mrose"), ""},
		"CRAM-MD5":      {""},
		"SCRAM-SHA-1":   {b64("n,,n=mrose,r=abc"), ""},
		"SCRAM-SHA-256": {b64("n,,n=mrose,r=abc"), ""},
		"OAUTHBEARER":   {b64("n,a=mrose,\x01auth=Bearer other\x01\x01"), ""},
		"XOAUTH2":       {b64("user=mrose\x01auth=Bearer other\x01\x01"), ""},
	}
	faults := []struct {
		name, line, want string
		octets           bool // the line is base64
	}{
		{"broken base64", "*" + b64("abc"), "-ERR", false},
		{"half of base64", "bXJvc2U", "-ERR", false},
		{"cancel", "*", "-ERR", false},
		{"rubbish", b64("\xff\xfe\x00\x00\x00\x00,,=="), "-ERR", true},
		{"four NULs", plain("", "", "mrose", "secret", ""), "-ERR", true},
		{"no NUL", b64("mrose"), "-ERR", true},
		{"1 MB", strings.Repeat("QUFB", 350_000), "-ERR Line too long", false},
		{"EOF", "", "", false},
	}
	for mechanism, good := range steps {
		for step := range good {
			for _, fault := range faults {
				if mechanism == "LOGIN" && step == 0 && fault.octets {
					continue // is a user name, until the password has come
				}
				p := dial(t, addr)
				p.do("AUTH "+mechanism, "+ ")
				for _, line := range good[:step] {
					p.do(line, "+ ")
				}
				if fault.name == "EOF" {
					p.Close()
				} else {
					p.send(fault.line + "\r\n")
					reply := p.want("")
					if strings.Contains(mechanism, "AUTH") && strings.HasPrefix(reply, "+ ") {
						reply = p.do("AQ==", "") // after the failure step, which says why
					}
					if !strings.HasPrefix(reply, fault.want) {
						t.Errorf("%s, step %d, %s: %q", mechanism, step, fault.name, reply)
					}
					if fault.name == "1 MB" {
						p.Close()
					} else {
						p.do("STAT", "-ERR Log in first")
						p.do("QUIT", "+OK")
					}
				}
				bystander.do("NOOP", "+OK")
			}
		}
	}
	waitSessions(srv, 1)
}

// TestTokenInSegments covers "a 12 kB token in 40 segments".
func TestTokenInSegments(t *testing.T) {
	_, addr := serve(t, store(t), ring, pop3server.Options{InsecureAuth: true})
	client := gosasl.NewOAuthBearerClient(&gosasl.OAuthBearerOptions{Username: "mrose", Token: "token" + strings.Repeat("x", 12<<10)})
	_, initial, err := client.Start()
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, addr)
	p.do("AUTH OAUTHBEARER", "+ ")
	line := []byte(b64(string(initial)) + "\r\n")
	size := len(line)/40 + 1
	for len(line) > 0 {
		n := min(size, len(line))
		p.send(string(line[:n]))
		line = line[n:]
	}
	p.want("+OK")
	p.do("STAT", "+OK")
}
