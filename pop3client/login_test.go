package pop3client

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

// scramPeer is a server that offers mechanisms, and takes mrose's password
// "secret" by SCRAM, without -PLUS. Its replies to AUTH and to what follows it
// pass through tamper, which counts them from 1; "" cuts the connection.
type scramPeer struct {
	offer  string
	tamper func(n int, reply string) string
}

// serve plays the server, and gives the verbs of the commands that came.
func (p scramPeer) serve(conn net.Conn) (verbs []string) {
	defer conn.Close()
	fmt.Fprint(conn, "+OK ready\r\n")
	r := bufio.NewScanner(conn)
	for r.Scan() {
		verb, rest, _ := strings.Cut(r.Text(), " ")
		verbs = append(verbs, verb)
		switch verb {
		case "CAPA":
			fmt.Fprintf(conn, "+OK\r\nSASL %s\r\nUSER\r\n.\r\n", p.offer)
		case "AUTH":
			mechanism, initial, _ := strings.Cut(rest, " ")
			verbs[len(verbs)-1] += " " + mechanism
			if !p.exchange(conn, r, initial) {
				return verbs
			}
		default:
			fmt.Fprint(conn, "+OK\r\n")
		}
	}
	return verbs
}

func (p scramPeer) exchange(conn net.Conn, r *bufio.Scanner, response string) bool {
	server := sasl.NewSCRAMServer(sasl.SHA256, false, sasl.Binding{}, false, func(string, string) (sasl.Keys, error) {
		return sasl.DeriveKeys(sasl.SHA256, "secret", []byte("salt"), sasl.MinIterations)
	})
	for n := 1; ; n++ {
		reply := "-ERR cancelled"
		if response != "*" {
			decoded, _ := base64.StdEncoding.DecodeString(response)
			challenge, done, err := server.Next(decoded)
			switch {
			case err != nil:
				reply = "-ERR [AUTH] no"
			case done:
				reply = "+OK"
			default:
				reply = "+ " + base64.StdEncoding.EncodeToString(challenge)
			}
			if p.tamper != nil {
				reply = p.tamper(n, reply)
			}
		}
		if reply == "" {
			return false
		}
		fmt.Fprint(conn, reply+"\r\n")
		if !strings.HasPrefix(reply, "+ ") {
			return true
		}
		if !r.Scan() {
			return false
		}
		response = r.Text()
	}
}

// change replaces a part of the n-th reply, which is a challenge.
func change(n int, from, to string) func(int, string) string {
	return func(at int, reply string) string {
		if at != n {
			return reply
		}
		challenge, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(reply, "+ "))
		changed := strings.Replace(string(challenge), from, to, 1)
		return "+ " + base64.StdEncoding.EncodeToString([]byte(changed))
	}
}

// login logs in at the peer, and gives what was sent and the error. Where the
// session goes on, a NOOP shows it.
func (p scramPeer) login(t *testing.T, password string, pins ...string) (verbs []string, err error) {
	t.Helper()
	ours, theirs := net.Pipe()
	sent := make(chan []string, 1)
	go func() { sent <- p.serve(theirs) }()
	c, err := New(t.Context(), ours, &Options{InsecureAuth: true, Timeout: 10 * time.Second, Mechanisms: pins})
	must(t, err)
	err = c.Login(t.Context(), "mrose", password)
	c.Noop(t.Context())
	c.Abort()
	return <-sent, err
}

// RFC 5802: a login by SCRAM, and each way in which it goes wrong. Nothing
// weaker ever follows, and a server that cannot be right is cut off.
func TestLoginSCRAM(t *testing.T) {
	cut := func(at int) func(int, string) string {
		return func(n int, reply string) string {
			if n == at {
				return ""
			}
			return reply
		}
	}
	early := func(at int) func(int, string) string {
		return func(n int, reply string) string {
			if n == at {
				return "+OK welcome"
			}
			return reply
		}
	}
	var protocol *ProtocolError
	var refusal *pop3.Error
	isProtocol := func(err error) bool { return errors.As(err, &protocol) }
	isEOF := func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }
	for name, test := range map[string]struct {
		password string
		tamper   func(int, string) string
		want     func(error) bool
		goesOn   bool
	}{
		"success":        {"secret", nil, func(err error) bool { return err == nil }, true},
		"wrong password": {"guess", nil, func(err error) bool { return errors.As(err, &refusal) && refusal.Code == pop3.Auth }, true},
		"wrong signature": {"secret", change(2, "v=", "v=AAAA"),
			func(err error) bool { return errors.Is(err, sasl.ErrServer) }, false},
		"error for a signature": {"secret", change(2, "v=", "e=other-error,x="),
			func(err error) bool { return errors.Is(err, sasl.ErrAuth) }, true},
		"1 iteration": {"secret", change(1, "i=4096", "i=1"),
			func(err error) bool { return strings.Contains(fmt.Sprint(err), `"1" iterations`) }, true},
		"1e9 iterations": {"secret", change(1, "i=4096", "i=1000000000"),
			func(err error) bool { return strings.Contains(fmt.Sprint(err), `"1000000000" iterations`) }, true},
		"another nonce": {"secret", change(1, "r=", "r=x"),
			func(err error) bool { return strings.Contains(fmt.Sprint(err), "nonce") }, true},
		"taken at once":            {"secret", early(1), isProtocol, false},
		"taken without signature":  {"secret", early(2), isProtocol, false},
		"cut before the salt":      {"secret", cut(1), isEOF, false},
		"cut before the signature": {"secret", cut(2), isEOF, false},
		"cut before the end":       {"secret", cut(3), isEOF, false},
	} {
		t.Run(name, func(t *testing.T) {
			verbs, err := scramPeer{"LOGIN PLAIN SCRAM-SHA-256 CRAM-MD5", test.tamper}.login(t, test.password)
			if !test.want(err) {
				t.Errorf("error %v", err)
			}
			want := []string{"CAPA", "AUTH SCRAM-SHA-256"}
			if test.goesOn {
				want = append(want, "NOOP")
			}
			if !slices.Equal(verbs, want) {
				t.Errorf("the client sent %q, want %q", verbs, want)
			}
		})
	}
}

// Pins: nothing else is ever tried, and the error names what is on offer.
func TestPins(t *testing.T) {
	verbs, err := scramPeer{"PLAIN", nil}.login(t, "secret", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
	var e *MechanismError
	if !errors.As(err, &e) || !errors.Is(err, ErrNoLogin) || !slices.Equal(e.Offered, []string{"PLAIN", "USER"}) {
		t.Errorf("error %v, want a MechanismError that names PLAIN and USER", err)
	} else if !slices.Equal(e.Allowed, []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}) {
		t.Errorf("allowed: %q", e.Allowed)
	}
	if want := []string{"CAPA", "NOOP"}; !slices.Equal(verbs, want) {
		t.Errorf("the client sent %q, want %q", verbs, want)
	}
	_, err = scramPeer{"SCRAM-SHA-256-PLUS PLAIN", nil}.login(t, "secret", "SCRAM-SHA-256-PLUS")
	if !errors.As(err, &e) || e.Unbound == nil || !strings.Contains(err.Error(), "not TLS") {
		t.Errorf("error %v, want that -PLUS needs TLS", err)
	}

	const all = "C: CAPA\nS: +OK\nS: SASL PLAIN LOGIN SCRAM-SHA-256 CRAM-MD5\nS: USER\nS: .\n"
	const login = "C: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: dQ==\nS: + UGFzc3dvcmQ6\nC: cA==\nS: +OK"
	for name, test := range map[string]struct {
		pins   []string
		script string
		fails  bool
	}{
		"PLAIN":                  {[]string{"PLAIN"}, all + "C: AUTH PLAIN AHUAcA==\nS: +OK", false},
		"the stronger of two":    {[]string{"USER", "login"}, all + login, false},
		"USER":                   {[]string{"USER"}, all + "C: USER u\nS: +OK\nC: PASS p\nS: +OK", false},
		"CRAM-MD5 before PLAIN":  {[]string{"PLAIN", "CRAM-MD5"}, all + "C: AUTH CRAM-MD5\nS: + PDFAaD4=\nC: " + b64("u "+cramOf("<1@h>", "p")) + "\nS: +OK", false},
		"no APOP in greeting":    {[]string{"APOP"}, all, true},
		"PLAIN and no CAPA":      {[]string{"PLAIN"}, "C: CAPA\nS: -ERR what\n", true},
		"PLAIN refused":          {[]string{"PLAIN", "LOGIN", "USER"}, all + "C: AUTH PLAIN AHUAcA==\nS: -ERR [AUTH] no", true},
		"a name that nobody has": {[]string{"SCRAM-SHA256"}, all, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := connectWith(t, &Options{InsecureAuth: true, Timeout: 10 * time.Second, Mechanisms: test.pins}, test.script)
			if err := c.Login(t.Context(), "u", "p"); (err != nil) != test.fails {
				t.Errorf("error %v", err)
			}
		})
	}
	c, err := New(t.Context(), dialScript(t, "S: +OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\n"+all+
		"C: APOP mrose c4c9334bac560ecc979e58001b3e22fb\nS: +OK"), &Options{InsecureAuth: true, Mechanisms: []string{"APOP"}})
	must(t, err)
	defer c.Abort()
	must(t, c.Login(t.Context(), "mrose", "tanstaaf"))
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func cramOf(challenge, password string) string {
	response, _ := sasl.NewCRAMMD5Client("", password).Next([]byte(challenge))
	return strings.TrimPrefix(string(response), " ")
}

// RFC 7628: OAUTHBEARER goes before XOAUTH2, and the server's reason comes
// through, without the token that it echoes.
func TestLoginToken(t *testing.T) {
	const capa = "C: CAPA\nS: +OK\nS: SASL PLAIN XOAUTH2%s\nS: .\n"
	oauth := b64("n,a=u,\x01auth=Bearer tok-en\x01\x01")
	xoauth := b64("user=u\x01auth=Bearer tok-en\x01\x01")
	for name, script := range map[string]string{
		"OAUTHBEARER": fmt.Sprintf(capa, " OAUTHBEARER") + "C: AUTH OAUTHBEARER " + oauth + "\nS: +OK",
		"XOAUTH2":     fmt.Sprintf(capa, "") + "C: AUTH XOAUTH2 " + xoauth + "\nS: +OK",
	} {
		t.Run(name, func(t *testing.T) { must(t, connect(t, script).LoginToken(t.Context(), "u", "tok-en")) })
	}
	c := connect(t, fmt.Sprintf(capa, "")+"C: AUTH XOAUTH2 "+xoauth+"\nS: + "+b64(`{"status":"bad tok-en","scope":"pop"}`)+
		"\nC: *\nS: -ERR [AUTH] tok-en\nC: NOOP\nS: +OK")
	err := c.LoginToken(t.Context(), "u", "tok-en")
	var e *sasl.BearerError
	if !errors.As(err, &e) || e.Scope != "pop" || strings.Contains(err.Error(), "tok-en") {
		t.Errorf("error %v, want a BearerError without the token", err)
	}
	must(t, c.Noop(t.Context()))

	c = connect(t, fmt.Sprintf(capa, "")+"C: AUTH XOAUTH2 "+xoauth+"\nS: -ERR [AUTH] bad tok-en")
	if err := c.LoginToken(t.Context(), "u", "tok-en"); err == nil || strings.Contains(err.Error(), "tok-en") {
		t.Errorf("error %v, want a refusal without the token", err)
	}
	c = connect(t, saslCapa)
	if err := c.LoginToken(t.Context(), "u", "tok-en"); !errors.Is(err, ErrNoLogin) || !strings.Contains(err.Error(), "OAUTHBEARER XOAUTH2); it offers PLAIN LOGIN") {
		t.Errorf("no token mechanism on offer: %v", err)
	}
	c = connect(t, "")
	for _, bad := range [][2]string{{"", "t"}, {"u\x01auth=Bearer x", "t"}, {"u\r", "t"}, {"u", ""}, {"u", "t\x01"}, {"u", "t t"}, {"u", "é"}} {
		if err := c.LoginToken(t.Context(), bad[0], bad[1]); !errors.Is(err, ErrArgument) {
			t.Errorf("LoginToken with %q gives %v, want ErrArgument", bad, err)
		}
	}
	c = connectWith(t, nil, "")
	if err := c.LoginToken(t.Context(), "u", "t"); err != ErrInsecure {
		t.Errorf("a token in clear text: %v, want ErrInsecure", err)
	}
	if err := c.LoginExternal(t.Context(), ""); err != ErrInsecure {
		t.Errorf("EXTERNAL in clear text: %v, want ErrInsecure", err)
	}
}
