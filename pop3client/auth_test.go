package pop3client

import (
	"errors"
	"strings"
	"testing"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

const saslCapa = "C: CAPA\nS: +OK\nS: SASL PLAIN LOGIN\nS: USER\nS: .\n"

// RFC 5034 section 4: with an initial response, without, and in the second
// step where the line would be longer than 255 octets.
func TestAuth(t *testing.T) {
	long := strings.Repeat("x", 200)
	for name, test := range map[string]struct {
		mechanism gosasl.Client
		script    string
	}{
		"initial response":       {gosasl.NewPlainClient("", "u", "p"), saslCapa + "C: AUTH PLAIN AHUAcA==\nS: +OK"},
		"empty initial response": {&steps{mech: "EXTERNAL", initial: []byte{}}, saslCapa + "C: AUTH EXTERNAL =\nS: +OK"},
		"CAPA without SASL":      {gosasl.NewPlainClient("", "u", "p"), "C: CAPA\nS: +OK\nS: USER\nS: .\nC: AUTH PLAIN\nS: +\nC: AHUAcA==\nS: +OK"},
		"no CAPA":                {gosasl.NewPlainClient("", "u", "p"), "C: CAPA\nS: -ERR what\nC: AUTH PLAIN\nS: + \nC: AHUAcA==\nS: +OK"},
		"line too long": {gosasl.NewPlainClient("", long, "p"), saslCapa + "C: AUTH PLAIN\nS: + \nC: " +
			pop3.EncodeSASL([]byte("\x00"+long+"\x00p")) + "\nS: +OK"},
		"LOGIN":            {sasl.NewLoginClient("u", "p"), saslCapa + "C: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: dQ==\nS: + UGFzc3dvcmQ6\nC: cA==\nS: +OK"},
		"several steps":    {&steps{mech: "SCRAM-SHA-256", initial: []byte("a"), answers: []string{"b", ""}}, saslCapa + "C: AUTH SCRAM-SHA-256 YQ==\nS: + MQ==\nC: Yg==\nS: + Mg==\nC: \nS: +OK"},
		"other upper case": {&steps{mech: "scram-sha-1", initial: []byte("a")}, saslCapa + "C: AUTH scram-sha-1 YQ==\nS: +OK"},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, test.script+"\nC: CAPA\nS: +OK\nS: .")
			must(t, c.Auth(t.Context(), test.mechanism))
			if _, err := c.capabilities(t.Context()); err != nil { // which login has made unknown
				t.Error(err)
			}
		})
	}
}

// steps is a mechanism that gives fixed answers.
type steps struct {
	mech    string
	initial []byte
	answers []string
	err     error // after the answers
	start   error
}

func (s *steps) Start() (string, []byte, error) { return s.mech, s.initial, s.start }

func (s *steps) Next([]byte) ([]byte, error) {
	if len(s.answers) == 0 {
		return nil, s.err
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return []byte(answer), nil
}

// demanding is a mechanism that knows when it is done.
type demanding struct{ steps }

func (d *demanding) Done() bool { return len(d.answers) == 0 }

var errMechanism = errors.New("signature is wrong")

// What goes wrong in an exchange: who is at fault, and whether the session
// goes on.
func TestAuthFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		c := connect(t, saslCapa+"C: AUTH PLAIN AHUAaHVudGVyMg==\nS: -ERR [AUTH] hunter2 AHUAaHVudGVyMg== \x1b[1m\nC: NOOP\nS: +OK")
		err := c.Auth(t.Context(), gosasl.NewPlainClient("", "u", "hunter2"))
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AHUA") {
			t.Errorf("error %v repeats the password", err)
		}
		var e *pop3.Error
		if !errors.As(err, &e) || e.Code != pop3.Auth || strings.Contains(e.Text, "\x1b") {
			t.Errorf("error %v", err)
		}
		must(t, c.Noop(t.Context()))
	})
	t.Run("the mechanism cancels", func(t *testing.T) {
		c := connect(t, saslCapa+"C: AUTH SCRAM-X YQ==\nS: + MQ==\nC: *\nS: -ERR cancelled\nC: NOOP\nS: +OK")
		err := c.Auth(t.Context(), &steps{mech: "SCRAM-X", initial: []byte("a"), err: errMechanism})
		if !errors.Is(err, errMechanism) {
			t.Errorf("error %v, want the mechanism's", err)
		}
		must(t, c.Noop(t.Context()))
	})
	t.Run("the mechanism does not start", func(t *testing.T) {
		c := connect(t, "")
		if err := c.Auth(t.Context(), &steps{start: errMechanism}); !errors.Is(err, errMechanism) {
			t.Errorf("error %v, want the mechanism's", err)
		}
	})
	for name, test := range map[string]struct {
		script, part string
		mechanism    gosasl.Client
	}{
		"cancel taken for login": {"C: AUTH SCRAM-X YQ==\nS: + MQ==\nC: *\nS: +OK", "cancelled", &steps{mech: "SCRAM-X", initial: []byte("a"), err: errMechanism}},
		"taken before the end":   {"C: AUTH SCRAM-X YQ==\nS: +OK", "before the mechanism", &demanding{steps{mech: "SCRAM-X", initial: []byte("a"), answers: []string{"b"}}}},
		"taken before LOGIN's password": {"C: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: dQ==\nS: +OK", "before the mechanism",
			sasl.NewLoginClient("u", "p")},
		"taken before anything":  {"C: AUTH LOGIN\nS: +OK", "before the mechanism", sasl.NewLoginClient("u", "p")},
		"challenge not base64":   {"C: AUTH LOGIN\nS: + go on\n", "not base64", sasl.NewLoginClient("u", "p")},
		"challenge with a TAB":   {"C: AUTH LOGIN\nS: + VXNl\tcm5hbWU6\n", "not base64", sasl.NewLoginClient("u", "p")},
		"garbage":                {"C: AUTH LOGIN\nS: hello\n", "neither +OK nor -ERR", sasl.NewLoginClient("u", "p")},
		"challenge too long":     {"C: AUTH LOGIN\nS: + " + strings.Repeat("A", pop3.MaxAuthLine), "too long", sasl.NewLoginClient("u", "p")},
		"challenges without end": {"C: AUTH SCRAM-X\n" + strings.Repeat("S: + \nC: \n", maxAuthSteps), "challenges", &steps{mech: "SCRAM-X"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, saslCapa+test.script)
			wantProtocolError(t, c, c.Auth(t.Context(), test.mechanism), test.part)
		})
	}
}

// Nothing is sent where a name or password cannot be, or a mechanism would
// show them to everybody.
func TestAuthRefusesToSend(t *testing.T) {
	c := connect(t, "")
	for name, mechanism := range map[string]gosasl.Client{
		"NUL in PLAIN":   gosasl.NewPlainClient("", "u\x00", "p"),
		"no mechanism":   &steps{},
		"CRLF in a name": &steps{mech: "PLAIN\r\nDELE"},
	} {
		if err := c.Auth(t.Context(), mechanism); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v, want ErrArgument", name, err)
		}
	}
	c = connectWith(t, nil, "")
	for _, mech := range []string{"PLAIN", "login", "XOAUTH2", "OAUTHBEARER", "UNHEARD-OF"} {
		if err := c.Auth(t.Context(), &steps{mech: mech}); err != ErrInsecure {
			t.Errorf("%s in clear text: %v, want ErrInsecure", mech, err)
		}
	}
	for _, err := range []error{c.User(t.Context(), "u"), c.Pass(t.Context(), "p"), c.Login(t.Context(), "u", "p")} {
		if err != ErrInsecure {
			t.Errorf("in clear text: %v, want ErrInsecure", err)
		}
	}
}

// A response of LOGIN that holds NUL, or is too long for the server, is
// cancelled.
func TestAuthCancels(t *testing.T) {
	for name, mechanism := range map[string]gosasl.Client{
		"NUL":      sasl.NewLoginClient("u\x00", "p"),
		"too long": sasl.NewLoginClient(strings.Repeat("x", pop3.MaxAuthLine), "p"),
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, saslCapa+"C: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: *\nS: -ERR cancelled")
			if err := c.Auth(t.Context(), mechanism); !errors.Is(err, ErrArgument) {
				t.Errorf("error %v, want ErrArgument", err)
			}
		})
	}
	c := connect(t, saslCapa+"C: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: *\nCLOSE")
	err := c.Auth(t.Context(), sasl.NewLoginClient("u\x00", "p"))
	wantBroken(t, c, err)
}

// Login takes the best way that CAPA offers, and one only.
func TestLogin(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"PLAIN":       {saslCapa + "C: AUTH PLAIN AHUAcA==\nS: +OK", ""},
		"PLAIN fails": {saslCapa + "C: AUTH PLAIN AHUAcA==\nS: -ERR [AUTH] no", "no"},
		"LOGIN":       {"C: CAPA\nS: +OK\nS: SASL login CRAM-MD5\nS: .\nC: AUTH LOGIN\nS: + VXNlcm5hbWU6\nC: dQ==\nS: + UGFzc3dvcmQ6\nC: cA==\nS: +OK", ""},
		"USER":        {"C: CAPA\nS: +OK\nS: SASL CRAM-MD5\nS: USER\nS: .\nC: USER u\nS: +OK\nC: PASS p\nS: +OK", ""},
		"USER fails":  {"C: CAPA\nS: -ERR\nC: USER u\nS: -ERR who", "who"},
		"no CAPA":     {"C: CAPA\nS: -ERR what\nC: USER u\nS: +OK\nC: PASS p\nS: -ERR no", "no"},
		"others only": {"C: CAPA\nS: +OK\nS: SASL GSSAPI XOAUTH2\nS: .", "it offers GSSAPI XOAUTH2"},
		"nothing":     {"C: CAPA\nS: +OK\nS: TOP\nS: .", "no way to log in"},
		"CAPA is cut": {"C: CAPA\nS: +OK\nS: TOP\nCLOSE", "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, test.script)
			err := c.Login(t.Context(), "u", "p")
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	c := connect(t, "")
	for _, bad := range [][2]string{{"", "p"}, {"u\r\nDELE 1", "p"}, {"u", "p\x00"}} {
		if err := c.Login(t.Context(), bad[0], bad[1]); !errors.Is(err, ErrArgument) {
			t.Errorf("Login with %q gives %v, want ErrArgument", bad, err)
		}
	}
}

// RFC 1939 section 7, APOP: its own example.
func TestApop(t *testing.T) {
	script := `
		S: +OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>
		C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
		S: %s
		C: NOOP
		S: +OK
	`
	for reply, want := range map[string]string{"+OK": "", "-ERR [AUTH] tanstaaf is wrong": "[redacted] is wrong"} {
		c, err := New(t.Context(), dialScript(t, strings.Replace(script, "%s", reply, 1)), nil)
		must(t, err)
		if !c.OffersAPOP() || !strings.Contains(c.Greeting(), "POP3 server ready") {
			t.Errorf("greeting %q", c.Greeting())
		}
		err = c.Apop(t.Context(), "mrose", "tanstaaf")
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("error %v, want %q", err, want)
		}
		for _, user := range []string{"", "two words", "CR\r", strings.Repeat("x", 255)} {
			if err := c.Apop(t.Context(), user, "s"); !errors.Is(err, ErrArgument) {
				t.Errorf("APOP %q gives %v, want ErrArgument", user, err)
			}
		}
		must(t, c.Noop(t.Context()))
		c.Abort()
	}
	c := connect(t, "")
	if err := c.Apop(t.Context(), "mrose", "tanstaaf"); err != ErrNoAPOP {
		t.Errorf("without a timestamp: %v, want ErrNoAPOP", err)
	}
}
