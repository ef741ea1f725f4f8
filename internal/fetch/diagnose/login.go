package diagnose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
	"github.com/poplin-mail/poplin/sasl"
)

// The ways to log in that package pop3client knows, the strongest first.
// CRAM-MD5 and APOP it uses where an account names them, and not otherwise.
var (
	passwordWays = []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "CRAM-MD5", "APOP", "PLAIN", "LOGIN", "USER"}
	weakWays     = []string{"CRAM-MD5", "APOP"}
	tokenWays    = []string{"OAUTHBEARER", "XOAUTH2"}
)

// mechanisms compares what the server offers with what the account may use.
func (x *explainer) mechanisms(c *pop3client.Client, caps pop3.Capabilities) bool {
	offered := caps.Mechanisms()
	if c.OffersAPOP() {
		offered = append(offered, "APOP")
	}
	if len(caps) == 0 || caps.Has(pop3.CapUser) {
		offered = append(offered, "USER")
	}
	_, encrypted := c.TLS()
	usable := slices.DeleteFunc(x.allowed(), func(way string) bool {
		return !slices.Contains(offered, way) || !encrypted && strings.HasSuffix(way, "-PLUS") // which is bound to TLS
	})
	shown := pop3.Sanitize(strings.Join(offered, " "))
	if shown == "" {
		shown = "nothing"
	}
	switch {
	case len(usable) > 0:
		advice := ""
		if x.Security == Insecure {
			advice = `everybody on the way can read what passes: set security = "tls" or "stls"`
		}
		x.ok(Mechanisms, "the server offers "+shown+"; "+usable[0]+" is used"+missing(x.Mechanisms, offered), advice)
		return true
	case len(x.Mechanisms) > 0:
		x.failed(Mechanisms, fmt.Sprintf("the account may use %s, and the server offers %s", pop3.Sanitize(strings.Join(x.Mechanisms, " ")), shown),
			"where the server's operator took the mechanism away, change mechanisms; where the server had it last time, somebody may stand in between")
		return false
	}
	text, advice := x.noWay(offered)
	x.failed(Mechanisms, text+"; it offers "+shown, advice)
	return false
}

// allowed lists what the account may use, the strongest first.
func (x *explainer) allowed() []string {
	ways := passwordWays
	if x.Token {
		ways = tokenWays
	}
	if len(x.Mechanisms) == 0 {
		return slices.DeleteFunc(slices.Clone(ways), func(way string) bool { return slices.Contains(weakWays, way) })
	}
	pinned := func(way string) bool {
		return slices.ContainsFunc(x.Mechanisms, func(pin string) bool { return strings.EqualFold(pin, way) })
	}
	ways = slices.Concat(passwordWays, tokenWays, []string{"EXTERNAL"})
	return slices.DeleteFunc(ways, func(way string) bool { return !pinned(way) })
}

// missing names what the account may use and the server does not offer, where
// something else is left.
func missing(pins, offered []string) string {
	var names []string
	for _, pin := range pins {
		if !slices.Contains(offered, strings.ToUpper(pin)) {
			names = append(names, pop3.Sanitize(strings.ToUpper(pin)))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; of the account's mechanisms the server does not offer " + strings.Join(names, " ")
}

// noWay is for an account without pins.
func (x *explainer) noWay(offered []string) (text, advice string) {
	has := func(ways []string) bool {
		return slices.ContainsFunc(ways, func(way string) bool { return slices.Contains(offered, way) })
	}
	switch {
	case x.Token:
		return "the server takes no token of OAuth 2.0", "use a password, or an app password"
	case has(tokenWays):
		return "the server takes no password", "it wants OAuth 2.0: run `poplin fetch login ACCOUNT`"
	case has(weakWays):
		return "the server takes a password by weak mechanisms alone", `add mechanisms = ["CRAM-MD5"] or ["APOP"] to the account, if you must`
	case x.Security == Insecure:
		return "the server takes no password in clear text", `set security = "stls"`
	}
	return "the server offers no way to log in that Poplin knows", "ask its operator"
}

// login logs in and leaves.
func (x *explainer) login(ctx context.Context, c *pop3client.Client, login func(context.Context, *pop3client.Client) error) {
	within, cancel := context.WithTimeout(ctx, patience*x.Timeout)
	defer cancel()
	if err := login(within, c); err != nil {
		text, advice := x.explainReply(err)
		x.failed(Login, text, advice)
		return
	}
	x.ok(Login, "the server takes the login", "")
	within, cancel = x.within(ctx)
	defer cancel()
	c.Quit(within)
}

// explainReply says what an error of a command means.
func (x *explainer) explainReply(err error) (text, advice string) {
	var mechanism *pop3client.MechanismError
	var bearer *sasl.BearerError
	var refusal *pop3.Error
	var protocol *pop3client.ProtocolError
	switch {
	case errors.As(err, &refusal):
		return x.explainRefusal(refusal)
	case errors.As(err, &bearer):
		return pop3.Sanitize(bearer.Error()), "run `poplin fetch login ACCOUNT` again; the account's scope must be the one for POP3"
	case errors.As(err, &mechanism):
		return pop3.Sanitize(mechanism.Error()), "change mechanisms, or the kind of the account's credentials"
	case errors.Is(err, sasl.ErrServer):
		return "the server does not show that it knows the password: it is not the one it claims to be, or it keeps another password", "do not use this password there; look at the certificate, and ask the operator"
	case errors.Is(err, pop3client.ErrInsecure):
		return "the connection is in clear text, and the password is not sent", `set security = "tls" or "stls"`
	case errors.As(err, &protocol):
		return "what the server says is not POP3: " + pop3.Sanitize(protocol.Error()), "something in between may change the connection; report it to the operator"
	case isTimeout(err):
		return "the server does not answer in time", "it may be overloaded, or read a large maildrop first: try again, with fewer messages on it"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		text, advice = "the server closed the connection instead of an answer", "some servers do that after a wrong password, or when there are too many connections: check both"
		if p := x.provider(); p.wrong != "" {
			advice += "; " + p.wrong
		}
		return text, advice
	}
	return pop3.Sanitize(err.Error()), "this did not come from the server: look at the account's settings"
}
