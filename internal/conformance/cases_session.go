package conformance

import (
	"errors"
	"fmt"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

var pipelining = Needs{Login: true, Messages: 1, Capability: pop3.CapPipelining}

// pipeliningCases send commands in one segment.
var pipeliningCases = []Case{
	{
		Name: "pipelining/order", Section: "RFC 2449 section 6.6", Severity: Must,
		Why:   "Replies to pipelined commands come in the order of the commands, one each, errors too.",
		Needs: pipelining,
		Steps: []Step{
			send("STAT\r\nNOOP\r\nXPOPLIN\r\nLIST {first}\r\nLIST 0\r\nNOOP\r\n"),
			reply(like("STAT's reply", `^\+OK \d+ \d+`)), reply(isOK), reply(isErr),
			reply(like("LIST's reply", `^\+OK \d+ \d+`)), reply(isErr), reply(isOK), inStep,
		},
	},
	{
		Name: "pipelining/retr", Section: "RFC 2449 section 6.6", Severity: Must,
		Why:   "Messages that are asked for in one segment are the same octets as those asked for one by one.",
		Needs: pipelining,
		Steps: []Step{pipelinedRetr, inStep},
	},
	{
		Name: "pipelining/login", Section: "RFC 2449 section 6.6", Severity: Must,
		Why:   "USER, PASS and what follows may come in one segment: a command behind a login waits for its result.",
		Needs: Needs{User: true, Capability: pop3.CapPipelining},
		Steps: []Step{func(s *session) error {
			if !s.found.before.Has(pop3.CapUser) {
				return notApplicable("CAPA does not announce USER")
			}
			return nil
		}, send("USER {user}\r\nPASS {password}\r\nSTAT\r\n"), reply(isOK), reply(isOK), reply(like("STAT's reply", `^\+OK \d+ \d+`)), inStep},
	},
	{
		Name: "pipelining/quit", Section: "RFC 2449 section 6.6", Severity: Must,
		Why:   "QUIT may come in one segment with what precedes it, and every reply still arrives.",
		Needs: pipelining,
		Steps: []Step{func(s *session) error {
			want, err := retrieve(s, s.found.small[0].Number)
			if err != nil {
				return err
			}
			if err := s.send("RETR {first}\r\nNOOP\r\nQUIT\r\n"); err != nil {
				return err
			}
			if err := reply(isOK)(s); err != nil {
				return err
			}
			got, _, err := s.conn.content()
			if err != nil {
				return err
			}
			return same("the message before QUIT", got, want)
		}, reply(isOK), reply(isOK), ends},
	},
}

// pipelinedRetr retrieves every small message one by one, then all at once.
func pipelinedRetr(s *session) error {
	var commands strings.Builder
	var want []string
	for _, m := range s.found.small {
		text, err := retrieve(s, m.Number)
		if err != nil {
			return err
		}
		want = append(want, text)
		fmt.Fprintf(&commands, "RETR %d\r\nNOOP\r\n", m.Number)
	}
	if err := s.send(commands.String()); err != nil {
		return err
	}
	for i, m := range s.found.small {
		if err := reply(isOK)(s); err != nil {
			return err
		}
		got, _, err := s.conn.content()
		if err != nil {
			return err
		}
		if err := same(fmt.Sprintf("message %d, pipelined", m.Number), got, want[i]); err != nil {
			return err
		}
		if err := reply(isOK)(s); err != nil { // NOOP's
			return err
		}
	}
	return nil
}

// lockCases are about more than one session.
var lockCases = []Case{
	{
		Name: "lock/second-session", Section: "RFC 1939 section 4", Severity: Should,
		Why:   "One session holds a maildrop: two that delete at once may each delete what the other has not stored.",
		Needs: login,
		Steps: []Step{func(s *session) error {
			reply, err := secondLogin(s)
			if err != nil {
				return err
			}
			if isOK.match(reply) {
				return errors.New("two sessions hold the maildrop at once")
			}
			return nil
		}, inStep},
	},
	{
		Name: "lock/code", Section: "RFC 2449 section 8.1.1", Severity: Should,
		Why:   "A second session is refused with [IN-USE]: a client then waits, and does not ask for another password.",
		Needs: Needs{Login: true, Capability: pop3.CapRespCodes},
		Steps: []Step{func(s *session) error {
			reply, err := secondLogin(s)
			if err != nil {
				return err
			}
			if isOK.match(reply) {
				return notApplicable("the server lets two sessions in")
			}
			if !strings.HasPrefix(reply, "-ERR [IN-USE]") {
				return fmt.Errorf("want -ERR [IN-USE], got %q", pop3.Sanitize(reply))
			}
			return nil
		}, inStep},
	},
	{
		Name: "lock/released", Section: "RFC 1939 section 4", Severity: Should,
		Why:   "A maildrop whose session lost its connection is free again within seconds: telephones lose connections all the time, and come back at once.",
		Needs: login,
		Steps: []Step{func(s *session) error {
			if err := s.conn.Close(); err != nil {
				return err
			}
			o := s.another()
			if err := o.open(true); err != nil {
				return err
			}
			return o.login()
		}},
	},
	{
		Name: "lock/not-before-login", Section: "RFC 1939 section 4", Severity: Must,
		Why:   "A session that is not logged in keeps nobody out, whatever name it gave.",
		Needs: Needs{User: true},
		Steps: []Step{cmd("USER {user}", isEither), func(s *session) error {
			o := s.another()
			if err := o.open(true); err != nil {
				return err
			}
			return o.login()
		}},
	},
}

// secondLogin logs in once while s holds the maildrop.
func secondLogin(s *session) (string, error) {
	o := s.another()
	if err := o.open(true); err != nil {
		return "", err
	}
	return o.tryLogin()
}

// languageCases are those of RFC 6856.
var languageCases = []Case{
	{
		Name: "utf8/before-login", Section: "RFC 6856 section 2.1", Severity: Must,
		Why:   "Where UTF8 is announced, it works before the login.",
		Needs: Needs{Capability: pop3.CapUTF8},
		Steps: []Step{cmd("UTF8", isOK), cmd("QUIT", isOK), ends},
	},
	{
		Name: "utf8/argument", Section: "RFC 6856 section 2.1", Severity: Should,
		Why:   "UTF8 has no arguments.",
		Needs: Needs{Capability: pop3.CapUTF8},
		Steps: []Step{cmd("UTF8 yes", isErr), cmd("QUIT", isOK), ends},
	},
	{
		Name: "utf8/after-login", Section: "Outlook", Severity: Habit,
		Why:   "Outlook sends UTF8 behind the login.",
		Needs: Needs{Login: true, Capability: pop3.CapUTF8},
		Steps: []Step{cmd("UTF8", isOK), inStep},
	},
	{
		Name: "lang/list", Section: "RFC 6856 section 3.2", Severity: Must,
		Why:   "LANG alone lists the languages, each with its tag first.",
		Needs: Needs{Login: true, Capability: pop3.CapLang},
		Steps: []Step{listing("LANG", like("a tag and a description", `^[A-Za-z0-9-]+( .*)?$`)), inStep},
	},
	{
		Name: "lang/unknown", Section: "RFC 6856 section 3.2", Severity: Must,
		Why:   "A language that the server lacks is answered by -ERR, and nothing changes.",
		Needs: Needs{Login: true, Capability: pop3.CapLang},
		Steps: []Step{cmd("LANG x-poplin-check", isErr), inStep},
	},
	{
		Name: "lang/any", Section: "RFC 6856 section 3.2", Severity: Must,
		Why:   `LANG with "*" always works: it chooses the server's own language.`,
		Needs: Needs{Login: true, Capability: pop3.CapLang},
		Steps: []Step{cmd("LANG *", isOK), inStep},
	},
}
