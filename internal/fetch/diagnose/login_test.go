package diagnose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3client"
	"github.com/poplin-mail/poplin/sasl"
)

// What the server offers is compared with what the account may use.
func TestMechanisms(t *testing.T) {
	for _, test := range []struct {
		capa  string
		pins  string
		token bool
		ok    bool
		want  string
	}{
		{"USER\r\nSASL PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "", false, true, "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS APOP USER; SCRAM-SHA-256 is used"},
		{"SASL PLAIN CRAM-MD5", "", false, true, "PLAIN is used"},
		{"SASL PLAIN CRAM-MD5", "cram-md5 SCRAM-SHA-256", false, true, "CRAM-MD5 is used; of the account's mechanisms the server does not offer SCRAM-SHA-256"},
		{"USER", "apop", false, true, "APOP is used"},
		{"USER\r\nSASL PLAIN", "SCRAM-SHA-256", false, false, "may use SCRAM-SHA-256, and the server offers PLAIN APOP USER"},
		{"SASL XOAUTH2", "", false, false, "takes no password; it offers XOAUTH2 APOP -> it wants OAuth 2.0"},
		{"SASL XOAUTH2 PLAIN", "", true, true, "XOAUTH2 is used"},
		{"SASL PLAIN", "", true, false, "takes no token of OAuth 2.0"},
		{"SASL CRAM-MD5", "", false, false, `weak mechanisms alone; it offers CRAM-MD5 APOP -> add mechanisms`},
		{"SASL EXTERNAL", "external", false, true, "EXTERNAL is used"},
		{"SASL SCRAM-SHA-1-PLUS", "SCRAM-SHA-1-PLUS", false, false, "may use SCRAM-SHA-1-PLUS, and"}, // without TLS
		{"SASL \x1b[1m", "X\x1b", false, false, "may use X?, and the server offers ?[1M"},
	} {
		port := serve(t, says("+OK ready <1.2@mx>\r\n", map[string]string{"CAPA": "+OK\r\n" + test.capa + "\r\n.", "QUIT": "+OK"}))
		steps := Explain(t.Context(), Target{
			Host: "mail.example.org", Port: port, Security: Insecure, Resolver: local, Mechanisms: strings.Fields(test.pins), Token: test.token,
		}, nil)
		s := last(steps)
		if s.Name != Mechanisms || s.OK != test.ok || !strings.Contains(s.Text+" -> "+s.Advice, test.want) {
			t.Errorf("%q: want %s\n%s", test.capa, test.want, show(steps))
		}
		sound(t, test.capa, steps)
	}
	for capa, want := range map[string]string{
		"TOP":        "takes no password in clear text",
		"SASL OTHER": "takes no password in clear text",
	} {
		port := serve(t, says("+OK ready\r\n", map[string]string{"CAPA": "+OK\r\n" + capa + "\r\n."}))
		check(t, capa, Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: Insecure, Resolver: local}, nil), "mechanisms: "+want)
	}
}

// What servers say to a login is put into words, with the provider's habits.
func TestLogin(t *testing.T) {
	for _, test := range []struct{ host, reply, want string }{
		{"", "-ERR [AUTH] Authentication failed.", `login: does not take user and password: "[AUTH] Authentication failed." -> check user and password`},
		{"", "-ERR no such user or wrong password", "login: the server refuses"},
		{"", "-ERR [IN-USE] try again later", "login: another program has the mailbox open"},
		{"", "-ERR maildrop already locked", "login: another program has the mailbox open"},
		{"", "-ERR [LOGIN-DELAY] too many logins", "login: the last login was too recent"},
		{"", "-ERR [SYS/TEMP] Please try again later", "login: a fault that passes"},
		{"", "-ERR [SYS/PERM] disk gone", "login: its operator must mend"},
		{"", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "login: no password in clear text"},
		{"", "-ERR Too many connections", "login: too many logins or connections"},
		{"", "-ERR", "login: the server refuses"},
		{"", "-ERR pass word is wrong \x1b[2J", "login: the server refuses"},
		{"", "hello", "login: is not POP3"},
		{"", "close", "login: closed the connection instead of an answer"},
		{"pop.gmail.com", "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833",
			"login: made for this program alone: "},
		{"pop.gmail.com", "-ERR [AUTH] Application-specific password required", googleAdvice},
		{"pop.gmail.com", "-ERR [AUTH] Username and password not accepted.", googleAdvice},
		{"pop.gmail.com", "-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754", "login: sign in with a browser"},
		{"pop.gmail.com", "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access.",
			"login: POP3 is switched off for this mailbox"},
		{"outlook.office365.com", "-ERR Logon failure: unknown user name or bad password.", "login: Microsoft takes no passwords"},
		{"outlook.office365.com", "-ERR Authentication failure: unknown user name or bad password.", "login: use OAuth 2.0"},
		{"outlook.office365.com", "close", "login: Microsoft takes no passwords"},
		{"pop.mail.yahoo.com", "-ERR [AUTH] invalid user or password", "login: make an app password in the account's security settings"},
		{"pop.gmx.net", "-ERR [AUTH] Authentication failed", "login: POP3 must be switched on"},
	} {
		port := serve(t, says("+OK ready\r\n", map[string]string{"CAPA": "+OK\r\nUSER\r\n.", "USER": "+OK", "PASS": test.reply}))
		host := test.host
		if host == "" {
			host = "mail.example.org"
		}
		steps := Explain(t.Context(), Target{Host: host, Port: port, Security: Insecure, Resolver: local}, password)
		check(t, test.reply, steps, test.want)
	}
}

const googleAdvice = "login: -> " + googlePasswords

// Errors of the login that are no replies.
func TestLoginErrors(t *testing.T) {
	for _, test := range []struct {
		err   error
		token bool
		want  string
	}{
		{fmt.Errorf("x: %w", sasl.ErrServer), false, "login: does not show that it knows the password"},
		{&sasl.BearerError{Status: "invalid_token\x1b", Scope: "pop"}, true, `login: it must have the scope "pop"`},
		{pop3client.ErrInsecure, false, "login: the password is not sent"},
		{&pop3client.MechanismError{Allowed: []string{"PLAIN"}}, false, "login: no way to log in that may be used (PLAIN)"},
		{context.DeadlineExceeded, false, "login: does not answer in time"},
		{errors.New("the command \x1b gave no password"), false, "login: the command ? gave no password"},
	} {
		port := serve(t, says("+OK ready\r\n", map[string]string{"CAPA": "+OK\r\nUSER\r\nSASL XOAUTH2\r\n."}))
		steps := Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: Insecure, Resolver: local, Token: test.token},
			func(context.Context, *pop3client.Client) error { return test.err })
		check(t, test.want, steps, test.want)
	}
	port := serve(t, says("+OK ready\r\n", map[string]string{"CAPA": "+OK\r\nSASL XOAUTH2\r\n."}))
	steps := Explain(t.Context(), Target{Host: "outlook.office365.com", Port: port, Security: Insecure, Resolver: local, Token: true},
		func(ctx context.Context, c *pop3client.Client) error { return c.LoginToken(ctx, "bela", "token") })
	check(t, "token", steps, "login: run `poplin fetch login ACCOUNT` again")
}

// A login that hangs has a deadline.
func TestLoginHangs(t *testing.T) {
	port := serve(t, says("+OK ready\r\n", map[string]string{"CAPA": "+OK\r\nUSER\r\n."}))
	steps := Explain(t.Context(), Target{Host: "mail.example.org", Port: port, Security: Insecure, Resolver: local, Timeout: short / patience},
		func(ctx context.Context, _ *pop3client.Client) error { <-ctx.Done(); return ctx.Err() })
	check(t, "hangs", steps, "login: does not answer in time")
}
