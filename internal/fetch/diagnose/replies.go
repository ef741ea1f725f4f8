package diagnose

import (
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

const (
	googlePasswords = "make an app password (https://support.google.com/accounts/answer/185833) and use it in place of the account's, or use OAuth 2.0: `poplin fetch login ACCOUNT`"
	microsoftOAuth  = "Microsoft takes no passwords for POP3 any more, and says this to right ones too: use OAuth 2.0, `poplin fetch login ACCOUNT`, and see that POP is on in the mailbox's settings"
	yahooPasswords  = "make an app password in the account's security settings, and use it in place of the account's"
)

// A phrase is what servers say where the response code does not tell enough.
type phrase struct {
	any    []string // one of these stands in the reply, in lower case
	text   string
	advice string
}

// phrases are looked at in this order.
var phrases = []phrase{
	{[]string{"application-specific password", "app password", "app-specific password", "application specific password"},
		"the server wants a password made for this program alone", "make an app password in the account's security settings, and use it in place of the account's"},
	{[]string{"web login required", "log in via your web browser", "login via your web browser", "sign in via your web browser"},
		"the provider wants you to sign in with a browser first", "sign in there and confirm that it was you; then use an app password, or OAuth 2.0: `poplin fetch login ACCOUNT`"},
	{[]string{"not enabled for pop", "enable pop", "pop access is disabled", "pop access disabled", "pop3 access is disabled", "pop3 is disabled",
		"pop is disabled", "pop3 disabled", "pop disabled", "not allowed to use pop", "pop3 not enabled", "pop not enabled", "no pop3 access"},
		"POP3 is switched off for this mailbox", "switch it on in the mailbox's settings on the provider's web pages, under forwarding, POP and IMAP"},
	{[]string{"basic auth", "basic authentication"},
		"the server takes no passwords any more", "use OAuth 2.0: `poplin fetch login ACCOUNT`"},
	{[]string{"too many", "rate limit", "ratelimit", "temporarily blocked"},
		"the server counts too many logins or connections", "wait, set a longer interval, and look for other programs that fetch the same mail"},
	{[]string{"maildrop already locked", "mailbox is locked", "mailbox locked", "lock busy", "is already in use", "mailbox in use", "unable to lock", "another session", "another pop3 session"},
		"another program has the mailbox open", inUseAdvice},
	{[]string{"plaintext authentication disallowed", "cleartext", "must use tls", "tls required", "use stls", "issue a stls"},
		"the server takes no password in clear text", `set security = "tls" or "stls"`},
}

const inUseAdvice = "wait until it is done, or some minutes if it was cut off; phones and mail programs that fetch the same mailbox must take turns"

// A provider is one whose replies say less than is known of it.
type provider struct {
	hosts []string // the server's name ends in one of them
	wrong string   // advice where it says that the password is wrong
}

var providers = []provider{
	{[]string{"gmail.com", "googlemail.com"}, googlePasswords},
	{[]string{"outlook.com", "outlook.office365.com", "office365.com", "outlook.office.com", "hotmail.com", "live.com"}, microsoftOAuth},
	{[]string{"yahoo.com", "yahoodns.net", "aol.com"}, yahooPasswords},
	{[]string{"gmx.net", "gmx.com", "web.de"}, "POP3 must be switched on in the mailbox's settings on the provider's web pages first; with two-factor login it also takes an app password"},
}

// provider gives the one whose server it is, empty for none.
func (x *explainer) provider() provider {
	host := strings.ToLower(strings.TrimSuffix(x.Host, "."))
	for _, p := range providers {
		for _, name := range p.hosts {
			if host == name || strings.HasSuffix(host, "."+name) {
				return p
			}
		}
	}
	return provider{}
}

// explainRefusal says what -ERR means: by the response codes that are
// plain, by its words where these are known, or else by the other codes (RFC
// 2449 section 8, RFC 3206).
func (x *explainer) explainRefusal(e *pop3.Error) (text, advice string) {
	said := ": " + quoted(e.Error())
	switch {
	case e.Code.Under(pop3.InUse):
		return "another program has the mailbox open" + said, inUseAdvice
	case e.Code.Under(pop3.LoginDelay):
		return "the last login was too recent" + said, "wait, and set a longer interval"
	}
	lower := strings.ToLower(e.Text)
	for _, p := range phrases {
		for _, words := range p.any {
			if !strings.Contains(lower, words) {
				continue
			}
			if own := x.provider().wrong; own == googlePasswords && strings.Contains(p.text, "this program alone") {
				return p.text + said, own
			}
			return p.text + said, p.advice
		}
	}
	switch {
	case e.Code.Under(pop3.SysTemp):
		return "the server has a fault that passes" + said, "try again later; your settings are not the reason"
	case e.Code.Under(pop3.SysPerm):
		return "the server has a fault that its operator must mend" + said, "tell the operator, or look at the mailbox's settings on the provider's web pages"
	}
	what := "user and password"
	advice = "check user and password, and whether user must be the whole address or the part before the @; a provider with two-factor login wants an app password"
	switch own := x.provider().wrong; {
	case x.Token:
		what = "user and token"
		advice = "run `poplin fetch login ACCOUNT` again; the token must be for this user, and for POP3"
	case own != "":
		advice = own
	}
	if e.Code.Under(pop3.Auth) {
		return "the server does not take " + what + said, advice
	}
	return "the server refuses" + said, advice
}
