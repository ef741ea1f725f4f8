package conformance

import (
	"errors"
	"fmt"

	"github.com/poplin-mail/poplin/pop3"
)

var loginCases = []Case{
	{
		Name: "user/no-argument", Section: "RFC 1939 section 3 and section 7, USER", Severity: Should,
		Why:   "USER needs a name: what is not well formed is answered by -ERR.",
		Steps: []Step{cmd("USER", isErr)},
	},
	{
		Name: "pass/without-user", Section: "RFC 1939 section 7, PASS", Severity: Must,
		Why:   "PASS may only follow a USER that was answered by +OK.",
		Steps: []Step{cmd("PASS poplin-check", isErr), cmd("STAT", isErr)},
	},
	{
		Name: "pass/works", Section: "RFC 1939 section 7, USER and PASS", Severity: Must,
		Why:   "USER and PASS are the login that every client has.",
		Needs: Needs{User: true, Capability: pop3.CapUser},
		Steps: []Step{cmd("USER {user}", isOK), cmd("PASS {password}", isOK), inStep},
	},
	{
		Name: "pass/wrong", Section: "RFC 1939 section 7, PASS", Severity: Must,
		Why:   "A wrong password lets nobody in.",
		Needs: Needs{User: true, Capability: pop3.CapUser},
		Steps: []Step{cmd("USER {user}", isOK), cmd("PASS {password}-wrong", isErr), cmd("STAT", isErr)},
	},
	{
		Name: "pass/trailing-blank", Section: "RFC 1939 section 7, PASS", Severity: Should,
		Why:   "All octets behind the first blank are the password, blanks included: one that is trimmed is another password.",
		Needs: Needs{User: true, Capability: pop3.CapUser},
		Steps: []Step{cmd("USER {user}", isOK), cmd("PASS {password} ", isErr), cmd("STAT", isErr)},
	},
	{
		Name: "pass/code", Section: "RFC 3206 section 5", Severity: Must,
		Why:   "Where AUTH-RESP-CODE is announced, a refused login has [AUTH], or [SYS/...] for a fault: a client asks for another password in the first case alone.",
		Needs: Needs{User: true, Capability: pop3.CapAuthRespCode},
		Steps: []Step{func(s *session) error {
			reply, err := wrongLogin(s, "{user}")
			if err != nil {
				return err
			}
			var refused *pop3.Error
			if _, err := pop3.ParseReply(reply); !errors.As(err, &refused) {
				return fmt.Errorf("want -ERR, got %q", pop3.Sanitize(reply))
			}
			if !refused.Code.Under(pop3.Auth) && !refused.Code.Under("SYS") && !refused.Code.Under(pop3.LoginDelay) {
				return fmt.Errorf("want the code [AUTH], got %q", pop3.Sanitize(reply))
			}
			return nil
		}},
	},
	{
		Name: "pass/unknown-user", Section: "RFC 1939 section 13", Severity: Should,
		Why:   "The answer to a name that does not exist is the one to a wrong password: else anybody can find out who has an account.",
		Needs: Needs{User: true},
		Steps: []Step{func(s *session) error {
			known, err := wrongLogin(s, "{user}")
			if err != nil {
				return err
			}
			o := s.another()
			if err := o.open(true); err != nil {
				return err
			}
			unknown, err := wrongLogin(o, "poplin-check-nobody")
			if err != nil {
				return err
			}
			return same("the replies for a name that exists and for one that does not", known, unknown)
		}},
	},
	{
		Name: "user/after-login", Section: "RFC 1939 section 5", Severity: Must,
		Why:   "A session has one user: a second USER could mix two maildrops.",
		Needs: Needs{Login: true},
		Steps: []Step{cmd("USER {user}", isErr), inStep},
	},
	{
		Name: "quit/before-login", Section: "RFC 1939 section 4, QUIT", Severity: Must,
		Why:   "QUIT is a command of every state, and the connection ends behind its reply.",
		Steps: []Step{cmd("QUIT", isOK), ends},
	},
	{
		Name: "quit/after-login", Section: "RFC 1939 section 6, QUIT", Severity: Must,
		Why:   "The connection ends behind the reply to QUIT.",
		Needs: Needs{Login: true},
		Steps: []Step{cmd("QUIT", isOK), ends},
	},
}

// wrongLogin gives the reply to a wrong password, by USER and PASS or by AUTH
// PLAIN.
func wrongLogin(s *session, user string) (string, error) {
	if s.found.capa && !s.found.before.Has(pop3.CapUser) {
		// The name is of no weight here: the password is none.
		return s.ask("AUTH PLAIN " + pop3.EncodeSASL([]byte("\x00"+s.expand(user)+"\x00wrong")))
	}
	reply, err := s.ask("USER " + user)
	if err != nil || !isOK.match(reply) {
		return reply, err
	}
	return s.ask("PASS wrong")
}

// plain is what the cases of AUTH PLAIN need.
var plain = Needs{User: true, Capability: pop3.CapSASL}

// withPlain puts a check before the steps: PLAIN is announced.
func withPlain(steps ...Step) []Step {
	return append([]Step{func(s *session) error {
		for _, name := range s.found.before.Mechanisms() {
			if name == "PLAIN" {
				return nil
			}
		}
		return notApplicable("CAPA does not announce SASL PLAIN")
	}}, steps...)
}

var authCases = []Case{
	{
		Name: "auth/plain", Section: "RFC 5034 section 4, RFC 4616", Severity: Must,
		Why:   "A mechanism that is announced works, with an initial response.",
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN {plain}", isOK), inStep),
	},
	{
		Name: "auth/plain-two-steps", Section: "RFC 5034 section 4", Severity: Must,
		Why:   `Without an initial response the server goes on with "+ " and an empty challenge. Thunderbird logs in so.`,
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN", like(`"+ "`, `^\+ $`)), cmd("{plain}", isOK), inStep),
	},
	{
		Name: "auth/any-case", Section: "RFC 5034 section 4, RFC 4422 section 3.1", Severity: Habit,
		Why:   "Clients exist that write a mechanism's name in lower case.",
		Needs: plain,
		Steps: withPlain(cmd("auth plain {plain}", isOK), inStep),
	},
	{
		Name: "auth/wrong-password", Section: "RFC 5034 section 4", Severity: Must,
		Why:   "A wrong password lets nobody in.",
		Needs: plain,
		Steps: withPlain(func(s *session) error {
			wrong := pop3.EncodeSASL([]byte("\x00" + s.target.User + "\x00wrong"))
			return cmd("AUTH PLAIN "+wrong, isErr)(s)
		}, cmd("STAT", isErr)),
	},
	{
		Name: "auth/cancel", Section: "RFC 5034 section 4", Severity: Must,
		Why:   `"*" ends an exchange with -ERR, and the session goes on.`,
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN", goesOn), cmd("*", isErr), inStepEarly),
	},
	{
		Name: "auth/empty-initial-response", Section: "RFC 5034 section 4", Severity: Must,
		Why:   `"=" is an empty initial response, which PLAIN cannot be. A server that goes on with a challenge took it for none.`,
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN =", isErr), inStepEarly),
	},
	{
		Name: "auth/not-base64", Section: "RFC 5034 section 4", Severity: Must,
		Why:   "A response that is not base64 is refused.",
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN", goesOn), cmd("!!!!", isErr), inStepEarly),
	},
	{
		Name: "auth/no-nul", Section: "RFC 4616 section 2", Severity: Must,
		Why:   "A response of PLAIN holds two NULs. One that does not is refused, and harms nothing.",
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN eHl6", isErr), inStepEarly),
	},
	{
		Name: "auth/base64-tab", Section: "RFC 4648 section 3.3", Severity: Should,
		Why:   "Characters that are not of base64's alphabet are refused: what two programs read differently is a way round checks.",
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN", goesOn), cmd("{plain-tab}", isErr)),
	},
	{
		Name: "auth/base64-padding", Section: "RFC 4648 section 3.2", Severity: Should,
		Why:   "Surplus padding is refused.",
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN", goesOn), cmd("{plain}====", isErr)),
	},
	{
		Name: "auth/unknown-mechanism", Section: "RFC 5034 section 4", Severity: Must,
		Why:   "A mechanism that the server lacks is answered by -ERR, not by a challenge.",
		Steps: []Step{cmd("AUTH X-POPLIN-CHECK", isErr), cmd("QUIT", isOK), ends},
	},
	{
		Name: "auth/bare", Section: "Outlook", Severity: Habit,
		Why:   "Outlook sends AUTH alone to learn the mechanisms, and expects a list.",
		Needs: Needs{Capability: pop3.CapSASL},
		Steps: []Step{listing("AUTH", like("mechanism names", `^[A-Za-z0-9_-]{1,20}$`)), cmd("QUIT", isOK), ends},
	},
	{
		Name: "auth/after-login", Section: "RFC 5034 section 4", Severity: Must,
		Why:   "AUTH is a command of the AUTHORIZATION state alone.",
		Needs: Needs{Login: true},
		Steps: []Step{cmd("AUTH PLAIN {plain}", isErr), inStep},
	},
	{
		Name: "auth/long-response", Section: "RFC 5034 section 4", Severity: Should,
		Why:   "Lines of AUTH are up to 12288 octets long, since tokens are: such a response is read whole and then refused.",
		Needs: plain,
		Steps: withPlain(cmd("AUTH PLAIN", goesOn), func(s *session) error {
			return cmd(pop3.EncodeSASL(make([]byte, 9*1023)), isErr)(s)
		}, inStepEarly),
	},
}

// wrongStateCases are the commands that need a login, without one.
func wrongStateCases() []Case {
	var cases []Case
	for _, command := range []string{"STAT", "LIST", "RETR 1", "DELE 1", "RSET", "TOP 1 0", "UIDL"} {
		verb, _, _ := cutBlank(command)
		cases = append(cases, Case{
			Name: "before-login/" + verb, Section: "RFC 1939 section 3", Severity: Must,
			Why:   "Nothing of a maildrop is shown or changed before the login.",
			Steps: []Step{cmd(command, isErr)},
		})
	}
	return cases
}
