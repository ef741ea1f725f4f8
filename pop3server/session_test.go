package pop3server_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

func TestSessionFromGreetingToQuit(t *testing.T) {
	s := store(t, "Subject: one\n\n.dot\n", "Subject: two\r\n\r\nbody", "")
	_, addr := serve(t, s, somebody, clear)
	p := login(t, addr)
	if got := p.do("STAT", "+OK"); got != "+OK 3 44" {
		t.Errorf("STAT: %q", got)
	}
	p.do("LIST", "+OK")
	if got := p.lines(); !slices.Equal(got, []string{"1 22", "2 22", "3 0"}) {
		t.Errorf("LIST: %q", got)
	}
	p.send("RETR 1\r\n")
	p.want("+OK 22 octets")
	for _, want := range []string{"Subject: one", "", "..dot", "."} {
		if got := p.want(""); got != want {
			t.Errorf("RETR: %q, want %q", got, want)
		}
	}
	p.do("RETR 3", "+OK 0 octets")
	p.want(".")
	p.do("TOP 2 0", "+OK")
	if got := p.lines(); !slices.Equal(got, []string{"Subject: two", ""}) {
		t.Errorf("TOP 2 0: %q", got)
	}
	p.do("UIDL", "+OK")
	uids := p.lines()
	if len(uids) != 3 {
		t.Fatalf("UIDL: %q", uids)
	}
	if got := p.do("UIDL 2", "+OK"); got != "+OK "+uids[1] {
		t.Errorf("UIDL 2: %q", got)
	}
	p.do("DELE 1", "+OK")
	p.do("DELE 1", "-ERR")
	p.do("RETR 1", "-ERR")
	if got := p.do("STAT", "+OK"); got != "+OK 2 22" {
		t.Errorf("STAT after DELE: %q", got)
	}
	p.do("LIST", "+OK")
	if got := p.lines(); !slices.Equal(got, []string{"2 22", "3 0"}) {
		t.Errorf("LIST after DELE: %q", got)
	}
	p.do("RSET", "+OK")
	if got := p.do("STAT", "+OK"); got != "+OK 3 44" {
		t.Errorf("STAT after RSET: %q", got)
	}
	p.do("DELE 2", "+OK")
	p.do("NOOP", "+OK")
	p.do("QUIT", "+OK")
	p.closed()
	if got := left(t, s); !slices.Equal(got, []string{"Subject: one\n\n.dot\n", ""}) {
		t.Errorf("left: %q", got)
	}
}

func TestWrongStateChangesNothing(t *testing.T) {
	_, addr := serve(t, store(t, "x\n"), somebody, clear)
	p := dial(t, addr)
	for _, c := range []string{"STAT", "LIST", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 1", "UIDL"} {
		p.do(c, "-ERR Log in first")
	}
	p.do("USER mrose", "+OK")
	p.do("STAT", "-ERR")
	p.do("PASS secret", "+OK")
	for _, c := range []string{"USER mrose", "PASS secret", "APOP a b", "AUTH PLAIN", "AUTH", "STLS"} {
		p.do(c, "-ERR Already logged in")
	}
	p.do("STAT", "+OK 1 3")
}

func TestNumbersNeverWrap(t *testing.T) {
	_, addr := serve(t, store(t, "x\n", "y\n"), somebody, clear)
	p := login(t, addr)
	for _, n := range []string{"0", "-1", "+1", "01", "1x", "3", "4294967297", "18446744073709551617",
		"1.0", "0x1", "1e0", strings.Repeat("9", 200), "\xd9\xa1"} {
		for _, c := range []string{"RETR ", "DELE ", "LIST ", "UIDL "} {
			p.do(c+n, "-ERR")
		}
		p.do("TOP "+n+" 1", "-ERR")
		p.do("TOP 1 -"+n, "-ERR")
	}
	for _, c := range []string{"TOP 1\t0", "RETR\t1", "LIST 1\t", "LIST 1 2", "TOP 1", "TOP", "RETR", "DELE "} {
		want := "-ERR"
		if c == "LIST 1\t" {
			want = "+OK 1 3" // blanks behind it are tolerated
		}
		p.do(c, want)
	}
	p.do("STAT", "+OK 2 6")
	p.do("TOP 1 99999999999999", "+OK")
	p.lines()
}

func TestUnknownCommandsAreCounted(t *testing.T) {
	for _, verbs := range [][]string{{"", ":", "%n"}, {"GET / HTTP/1.1", "\xff", "XTND XMIT"}} {
		_, addr := serve(t, store(t), somebody, clear)
		p := dial(t, addr)
		for _, v := range verbs {
			if got := p.do(v, "-ERR"); v != "" && strings.Contains(got, v) {
				t.Errorf("reply %q holds the input %q", got, v)
			}
		}
		p.closed()
	}
	_, addr := serve(t, store(t), somebody, clear)
	p := login(t, addr)
	for range 20 {
		p.do("XTND", "-ERR")
	}
	p.closed()
}

func TestLineLimits(t *testing.T) {
	_, addr := serve(t, store(t), somebody, clear)
	p := dial(t, addr)
	longest := "USER " + strings.Repeat("u", pop3.MaxCommandLine-len("USER \r\n"))
	p.do(longest, "+OK")
	p.do(longest+"u", "-ERR Line too long")
	p.closed()

	p = dial(t, addr)
	p.send(strings.Repeat("A", 64<<10))
	p.want("-ERR Line too long")
	p.closed()

	p = dial(t, addr)
	token := strings.Repeat("QUFB", 3000)
	p.do("AUTH PLAIN "+token, "-ERR")
	p.do("auth LOGIN", "+ ")
	p.do(token, "+ ")
	p.send(strings.Repeat("QUFB", 7000))
	p.want("-ERR Line too long")
	p.closed()
}

func plain(parts ...string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Join(parts, "\x00")))
}

func TestAuth(t *testing.T) {
	_, addr := serve(t, store(t), somebody, clear)
	for _, c := range []struct {
		name  string
		lines []string // sent and the start of the reply, by turns
	}{
		{"plain in one line", []string{"AUTH PLAIN " + plain("", "mrose", "secret"), "+OK"}},
		{"plain in two", []string{"auth plain", "+ ", plain("", "mrose", "secret"), "+OK"}},
		{"own name as authzid", []string{"AUTH PLAIN " + plain("mrose", "mrose", "secret"), "+OK"}},
		{"authzid of another", []string{"AUTH PLAIN " + plain("other", "mrose", "secret"), "-ERR [AUTH]"}},
		{"wrong password", []string{"AUTH PLAIN " + plain("", "mrose", "wrong"), "-ERR [AUTH]"}},
		{"no such user", []string{"AUTH PLAIN " + plain("", "nobody", "secret"), "-ERR [AUTH]"}},
		{"no NUL", []string{"AUTH PLAIN " + plain("mrose"), "-ERR"}},
		{"one NUL", []string{"AUTH PLAIN " + plain("mrose", "secret"), "-ERR"}},
		{"three NULs", []string{"AUTH PLAIN " + plain("", "mrose", "secret", ""), "-ERR"}},
		{"CR in the password", []string{"AUTH PLAIN " + plain("", "mrose", "secret\r"), "-ERR"}},
		{"empty initial response", []string{"AUTH PLAIN =", "-ERR"}},
		{"cancel", []string{"AUTH PLAIN", "+ ", "*", "-ERR", "AUTH LOGIN", "+ ", "bXJvc2U=", "+ ", "*", "-ERR"}},
		{"login", []string{"AUTH LOGIN", "+ VXNlcm5hbWU6", "bXJvc2U=", "+ UGFzc3dvcmQ6", "c2VjcmV0", "+OK"}},
		{"login with initial response", []string{"AUTH LOGIN bXJvc2U=", "+ UGFzc3dvcmQ6", "c2VjcmV0", "+OK"}},
		{"login wrong", []string{"AUTH LOGIN bXJvc2U=", "+ ", "d3Jvbmc=", "-ERR [AUTH]"}},
		{"login NUL", []string{"AUTH LOGIN bQA=", "+ ", "d3Jvbmc=", "-ERR Malformed"}},
		{"login empty", []string{"AUTH LOGIN =", "+ ", "", "-ERR [AUTH]"}},
		{"TAB", []string{"AUTH PLAIN " + plain("", "mrose", "secret") + "\t", "-ERR"}},
		{"blank", []string{"AUTH PLAIN " + plain("", "mrose", "secret") + " ", "-ERR"}},
		{"no padding", []string{"AUTH PLAIN", "+ ", "bXJvc2U", "-ERR"}},
		{"surplus padding", []string{"AUTH PLAIN", "+ ", "bXJvc2U==", "-ERR"}},
		{"unknown", []string{"AUTH GSSAPI", "-ERR", "AUTH DIGEST-MD5", "-ERR"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := dial(t, addr)
			for i := 0; i < len(c.lines); i += 2 {
				p.do(c.lines[i], c.lines[i+1])
			}
			loggedIn := strings.HasPrefix(c.lines[len(c.lines)-1], "+OK")
			p.do("STAT", map[bool]string{true: "+OK", false: "-ERR"}[loggedIn])
			p.do("QUIT", "+OK")
		})
	}
	p := dial(t, addr)
	for _, list := range []string{"AUTH", "AUTH "} {
		p.do(list, "+OK")
		if got := p.lines(); !slices.Equal(got, []string{"PLAIN", "LOGIN"}) {
			t.Errorf("%q: %q", list, got)
		}
	}
	p.send("AUTH LOGIN\r\n")
	p.want("+ ")
	p.send("bXJv")
	p.Close()
}

func TestFailedLoginsAreCounted(t *testing.T) {
	_, addr := serve(t, store(t), somebody, clear)
	p := dial(t, addr)
	var replies []string
	for i := range 5 {
		p.do("USER "+[]string{"mrose", "nobody"}[i%2], "+OK")
		replies = append(replies, p.do("PASS wrong", "-ERR [AUTH] "))
	}
	p.closed()
	if len(slices.Compact(replies)) != 1 {
		t.Errorf("replies tell users apart: %q", replies)
	}
	p = dial(t, addr)
	p.do("PASS secret", "-ERR Send USER first")
	p.do("USER mrose", "+OK")
	p.do("PASS wrong", "-ERR")
	p.do("PASS secret", "-ERR Send USER first")
}

func TestPasswordKeepsItsBlanks(t *testing.T) {
	auth := users{"a b@example.org": "  two  words ", "mrose": "secret"}
	s := store(t)
	s.Create("a b@example.org")
	_, addr := serve(t, s, auth, clear)
	p := dial(t, addr)
	p.do("USER a b@example.org", "+OK")
	p.do("PASS   two  words ", "+OK")
	p = dial(t, addr)
	p.do("USER mrose", "+OK")
	p.do("PASS secret ", "-ERR [AUTH]")
}

func TestAPOP(t *testing.T) {
	opts := pop3server.Options{APOP: true, Hostname: "mail.<exa>mple.org"}
	_, addr := serve(t, store(t), somebody, opts)
	greeting := func() (*peer, string) {
		p := dialRaw(t, addr)
		return p, pop3.Timestamp(p.want("+OK"))
	}
	p, ts := greeting()
	if !strings.HasSuffix(ts, "@mail.example.org>") {
		t.Errorf("timestamp %q", ts)
	}
	if _, again := greeting(); again == ts {
		t.Errorf("timestamp came twice: %q", ts)
	}
	p.do("APOP mrose "+pop3.APOPDigest(ts, "wrong"), "-ERR [AUTH]")
	p.do("APOP mrose", "-ERR")
	p.do("APOP mrose ", "-ERR")
	p.do("USER mrose", "-ERR TLS is required")
	p.do("PASS secret", "-ERR TLS is required")
	p.do("AUTH PLAIN "+plain("", "mrose", "secret"), "-ERR TLS is required")
	p.do("APOP mrose "+strings.ToUpper(pop3.APOPDigest(ts, "secret")), "+OK")
	p.do("STAT", "+OK")

	_, addr = serve(t, store(t), somebody, clear)
	q := dialRaw(t, addr)
	if line := q.want("+OK"); strings.ContainsAny(line, "<>") {
		t.Errorf("greeting without APOP: %q", line)
	}
	q.do("APOP mrose "+pop3.APOPDigest(ts, "secret"), "-ERR APOP is not available")
}

func TestCapabilitiesTellTheTruth(t *testing.T) {
	config, _ := certificate()
	caps := func(p *peer) string {
		p.do("CAPA", "+OK")
		return " " + strings.Join(p.lines(), " | ") + " "
	}
	_, addr := serve(t, store(t), somebody, pop3server.Options{TLSConfig: config})
	p := dial(t, addr)
	before := caps(p)
	if !strings.Contains(before, " STLS ") || strings.Contains(before, "| USER |") || strings.Contains(before, "SASL") {
		t.Errorf("before TLS: %s", before)
	}
	p.do("USER mrose", "-ERR TLS is required")
	p.do("AUTH", "+OK")
	if got := p.lines(); len(got) != 0 {
		t.Errorf("AUTH before TLS lists %q", got)
	}
	p.do("STLS", "+OK")
	p = p.overTLS()
	inside := caps(p)
	if strings.Contains(inside, "STLS") || !strings.Contains(inside, "| USER |") || !strings.Contains(inside, "SASL PLAIN LOGIN") {
		t.Errorf("inside TLS: %s", inside)
	}
	p.do("STLS", "-ERR TLS is already active")
	p.do("PASS secret", "-ERR Send USER first")
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
	if got := caps(p); strings.Contains(got, "STLS") {
		t.Errorf("after login: %s", got)
	}
	_, addr = serve(t, store(t), somebody, clear)
	p = dial(t, addr)
	if got := caps(p); strings.Contains(got, "STLS") {
		t.Errorf("without TLS: %s", got)
	}
	p.do("STLS", "-ERR TLS is not available")
}

func TestLanguages(t *testing.T) {
	_, addr := serve(t, store(t), somebody, clear)
	p := dial(t, addr)
	p.do("LANG", "+OK")
	tags := p.lines()
	if !slices.ContainsFunc(tags, func(l string) bool { return strings.HasPrefix(l, "i-default ") }) {
		t.Errorf("LANG lists %q", tags)
	}
	p.do("LANG de-AT-1996", "+OK de Sprache gewechselt")
	p.do("STAT", "-ERR Bitte zuerst anmelden")
	p.do("LANG xx", "-ERR Sprache ist nicht verf")
	p.do("LANG FR", "+OK fr ")
	p.do("LANG *", "+OK en Language changed")
	p.do("LANG i-default", "+OK i-default Language changed")
	for _, tag := range tags {
		tag, _, _ := strings.Cut(tag, " ")
		p.do("LANG "+tag, fmt.Sprintf("+OK %s ", tag))
	}
	p.do("UTF8", "+OK")
	p.do("USER mrose", "+OK")
	p.do("PASS secret", "+OK")
	p.do("UTF8", "+OK")
}
