package conformance

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

var greetingCases = []Case{
	{
		Name: "greeting/one-line", Section: "RFC 1939 section 4", Severity: Must,
		Why:   "A greeting is one line. Of a second line a client takes each part for the reply to its next command.",
		Needs: Needs{Clear: false},
		Steps: []Step{cmd("QUIT", isOK), ends},
	},
	{
		Name: "greeting/timestamp-form", Section: "RFC 1939 section 7, APOP", Severity: Habit,
		Why:   "Clients exist that know APOP's timestamp by the form <digits.digits@host> alone.",
		Needs: Needs{Timestamp: true},
		Steps: []Step{func(s *session) error {
			if !regexp.MustCompile(`^<\d+\.\d+@[^@<>]+>$`).MatchString(s.found.timestamp) {
				return fmt.Errorf("want <digits.digits@host>, got %q", s.found.timestamp)
			}
			return nil
		}},
	},
	{
		Name: "greeting/timestamp-differs", Section: "RFC 1939 section 7, APOP", Severity: Must,
		Why:   "A digest that was overheard must be of no use in another session: each greeting has another timestamp.",
		Needs: Needs{Timestamp: true},
		Steps: []Step{func(s *session) error {
			o := s.another()
			if err := o.open(false); err != nil {
				return err
			}
			for _, greeting := range []string{s.greeting, o.greeting} {
				if pop3.Timestamp(greeting) == "" {
					return fmt.Errorf("a greeting has no timestamp: %q", pop3.Sanitize(greeting))
				}
			}
			if pop3.Timestamp(s.greeting) == pop3.Timestamp(o.greeting) {
				return fmt.Errorf("two sessions were greeted with %q", pop3.Timestamp(s.greeting))
			}
			return nil
		}},
	},
	{
		Name: "apop/wrong-digest", Section: "RFC 1939 section 7, APOP", Severity: Must,
		Why:   "A digest that does not fit lets nobody in.",
		Needs: Needs{Timestamp: true, User: true},
		Steps: []Step{cmd("APOP {user} 00000000000000000000000000000000", isErr), cmd("STAT", isErr)},
	},
}

var capabilityCases = []Case{
	{
		Name: "capa/answers", Section: "RFC 2449 section 5", Severity: Should,
		Why:   "Without CAPA a client must try each command to learn whether the server has it.",
		Steps: []Step{cmd("CAPA", isOK)},
	},
	{
		Name: "capa/form", Section: "RFC 2449 section 5", Severity: Must,
		Why: "A line is a name and parameters, with one blank before each; a name stands once.",
		Steps: []Step{func(s *session) error {
			lines, err := needCapa(s)
			if err != nil {
				return err
			}
			var names []string
			for _, line := range lines {
				if !regexp.MustCompile(`^[A-Za-z0-9][!-~]*( [!-~]+)*$`).MatchString(line) || len(line) > 510 {
					return fmt.Errorf("want a name and parameters with one blank before each, got %q", pop3.Sanitize(line))
				}
				name := pop3.ParseCapability(line).Name
				if slices.Contains(names, name) {
					return fmt.Errorf("%s is announced twice", name)
				}
				names = append(names, name)
			}
			return nil
		}},
	},
	{
		Name: "capa/after-login", Section: "RFC 2449 section 5", Severity: Must,
		Why:   "CAPA is a command of both states: what holds for the user is known after the login only.",
		Needs: Needs{Login: true},
		Steps: []Step{func(s *session) error { _, err := needCapa(s); return err }, inStep},
	},
	{
		Name: "capa/user", Section: "RFC 2449 section 6.3", Severity: Must,
		Why:   "USER is announced exactly where it is taken: else a client sends what is refused, or does not log in at all.",
		Steps: []Step{userAsAnnounced},
	},
	{
		Name: "capa/user-in-clear-text", Section: "RFC 2449 section 6.3, RFC 2595 section 2.2", Severity: Must,
		Why:   "Before TLS too, USER is announced exactly where it is taken. Where it is refused, a client that saw it announced has sent a name, or a password, for nothing.",
		Needs: Needs{STLS: true, Clear: true},
		Steps: []Step{userAsAnnounced},
	},
	{
		Name: "capa/top", Section: "RFC 2449 section 6.2", Severity: Must,
		Why:   "What is announced works: clients look at the header of each message by TOP before they retrieve it.",
		Needs: Needs{Login: true, Messages: 1, Capability: pop3.CapTop},
		Steps: []Step{func(s *session) error { _, _, err := s.askText("TOP {first} 0"); return err }},
	},
	{
		Name: "capa/uidl", Section: "RFC 2449 section 6.8", Severity: Must,
		Why:   "What is announced works: without unique-ids a client that leaves mail on the server downloads it anew each time.",
		Needs: Needs{Login: true, Capability: pop3.CapUIDL},
		Steps: []Step{func(s *session) error { _, err := s.askList("UIDL"); return err }},
	},
	{
		Name: "capa/pipelining", Section: "RFC 2449 section 6.6", Severity: Should,
		Why: "Where a client may send the next command at once, retrieval takes one round trip and not one a message.",
		Steps: []Step{func(s *session) error {
			if !s.found.before.Has(pop3.CapPipelining) {
				return errors.New("PIPELINING is not announced")
			}
			return nil
		}},
	},
	{
		Name: "capa/resp-codes", Section: "RFC 2449 section 6.4, RFC 3206 section 6", Severity: Should,
		Why: "By response codes a client tells a wrong password, which it must ask for, from a fault that passes.",
		Steps: []Step{func(s *session) error {
			for _, name := range []string{pop3.CapRespCodes, pop3.CapAuthRespCode} {
				if !s.found.before.Has(name) {
					return fmt.Errorf("%s is not announced", name)
				}
			}
			return nil
		}},
	},
	{
		Name: "capa/any-case", Section: "RFC 1939 section 3", Severity: Must,
		Why:   "Commands are the same in any case.",
		Steps: []Step{func(s *session) error { _, err := needCapa(s); return err }, func(s *session) error { _, err := s.askList("cApA"); return err }},
	},
}

// needCapa gives the lines of CAPA.
func needCapa(s *session) ([]string, error) {
	if !s.found.capa {
		return nil, notApplicable("the server has no CAPA")
	}
	return s.askList("CAPA")
}

// userAsAnnounced compares what CAPA says of USER with what USER does. The
// name is made up.
func userAsAnnounced(s *session) error {
	lines, err := needCapa(s)
	if err != nil {
		return err
	}
	announced := slices.ContainsFunc(lines, func(line string) bool { return strings.EqualFold(line, pop3.CapUser) })
	reply, err := s.ask("USER poplin-check")
	if err != nil {
		return fmt.Errorf("USER: %w", err)
	}
	switch {
	case announced && !isOK.match(reply):
		return fmt.Errorf("CAPA announces USER, and it is answered by %q", pop3.Sanitize(reply))
	case !announced && isOK.match(reply):
		return fmt.Errorf("CAPA does not announce USER, and it is answered by %q", pop3.Sanitize(reply))
	}
	return nil
}
