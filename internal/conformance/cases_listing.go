package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

var login = Needs{Login: true}
var oneMessage = Needs{Login: true, Messages: 1}

var statCases = []Case{
	{
		Name: "stat/form", Section: "RFC 1939 section 5, STAT", Severity: Must,
		Why:   `The reply is "+OK", a blank, the number of messages, a blank, and the octets.`,
		Needs: login,
		Steps: []Step{cmd("STAT", like(`"+OK n n"`, `^\+OK (0|[1-9]\d*) (0|[1-9]\d*)( |$)`))},
	},
	{
		Name: "stat/agrees-with-list", Section: "RFC 1939 section 5, STAT and LIST", Severity: Must,
		Why:   "STAT has the number of the messages that LIST lists, and the sum of their sizes. Clients take less for mail that is gone.",
		Needs: login,
		Steps: []Step{func(s *session) error {
			stat, err := askStat(s)
			if err != nil {
				return err
			}
			all, err := s.list()
			if err != nil {
				return err
			}
			if want := sum(all); stat != want {
				return fmt.Errorf("STAT says %d messages of %d octets, LIST %d of %d", stat.Messages, stat.Octets, want.Messages, want.Octets)
			}
			return nil
		}},
	},
	{
		Name: "noop/works", Section: "RFC 1939 section 5, NOOP", Severity: Must,
		Why:   "NOOP does nothing but answer +OK. Clients keep a session by it.",
		Needs: login,
		Steps: []Step{cmd("NOOP", isOK), inStep},
	},
	{
		Name: "noop/argument", Section: "RFC 1939 section 3 and section 5, NOOP", Severity: Should,
		Why:   "What has no arguments gets none: a surplus one says that client and server are out of step.",
		Needs: login,
		Steps: []Step{cmd("NOOP 1", isErr), inStep},
	},
	{
		Name: "commands/any-case", Section: "RFC 1939 section 3", Severity: Must,
		Why:   "Commands are the same in any case.",
		Needs: login,
		Steps: []Step{cmd("noop", isOK), cmd("StAt", isOK), cmd("rset", isOK), inStep},
	},
	{
		Name: "commands/unknown", Section: "RFC 1939 section 3", Severity: Must,
		Why:   "A command that the server does not know is answered by -ERR, and the session goes on.",
		Needs: login,
		Steps: []Step{cmd("XPOPLIN check", isErr), inStep},
	},
}

var listCases = []Case{
	{
		Name: "list/form", Section: "RFC 1939 section 5, LIST", Severity: Must,
		Why:   "A scan listing is a message number, one blank and a size.",
		Needs: login,
		Steps: []Step{listing("LIST", like(`"number size"`, `^[1-9]\d* (0|[1-9]\d*)( |$)`)), inStep},
	},
	{
		Name: "list/order", Section: "RFC 1939 section 4", Severity: Must,
		Why:   "Messages are numbered from 1 without gaps, and listed once each.",
		Needs: login,
		Steps: []Step{func(s *session) error {
			all, err := s.list()
			if err != nil {
				return err
			}
			for i, m := range all {
				if m.Number != i+1 {
					return fmt.Errorf("line %d of LIST is for message %d", i+1, m.Number)
				}
			}
			return nil
		}},
	},
	{
		Name: "list/one", Section: "RFC 1939 section 5, LIST", Severity: Must,
		Why:   "LIST with a number says in one line what LIST says of that message.",
		Needs: oneMessage,
		Steps: []Step{eachSmall(func(s *session, m pop3.Listing) error {
			return cmd(fmt.Sprintf("LIST %d", m.Number), exactly(fmt.Sprintf("+OK %d %d", m.Number, m.Octets)))(s)
		}), inStep},
	},
	{
		Name: "list/surplus-argument", Section: "RFC 1939 section 5, LIST", Severity: Should,
		Why:   "LIST has one argument at most.",
		Needs: oneMessage,
		Steps: []Step{cmd("LIST {first} {first}", isErr), inStep},
	},
	{
		Name: "list/trailing-blank", Section: "RFC 1939 section 3", Severity: Habit,
		Why:   "Clients exist that send a blank behind LIST.",
		Needs: login,
		Steps: []Step{listing("LIST ", like("numbers", `^\d`)), inStep},
	},
}

// exactly matches a reply, or a reply with more behind a blank.
func exactly(want string) matcher {
	return matcher{fmt.Sprintf("%q", want), func(reply string) bool {
		return reply == want || strings.HasPrefix(reply, want+" ")
	}}
}

// numberCases try numbers that name no message, by every command that takes
// one. None may wrap round to a message that exists: DELE would delete it.
func numberCases() []Case {
	var cases []Case
	for _, command := range []struct {
		verb, rest string
		severity   Severity
	}{{"LIST", "", Must}, {"RETR", "", Must}, {"DELE", "", Must}, {"TOP", " 0", Must}, {"UIDL", "", Must}} {
		needs := login
		if command.verb == "TOP" || command.verb == "UIDL" {
			needs.Capability = command.verb
		}
		for _, number := range []struct{ name, text, why string }{
			{"zero", "0", "Messages are numbered from 1."},
			{"past-the-end", "{past}", "A number behind the last message names none."},
			{"wraps", "4294967297", "2^32+1 names no message: read into 32 bits it would be message 1."},
			{"wraps-64", "18446744073709551617", "2^64+1 names no message: read into 64 bits it would be message 1."},
			{"negative", "-1", "A number has no sign."},
			{"garbage", "1x", "A number is digits alone: what follows may not be dropped."},
		} {
			steps := []Step{cmd(command.verb+" "+number.text+command.rest, isErr), inStep}
			cases = append(cases, Case{
				Name:    "number/" + command.verb + "-" + number.name,
				Section: "RFC 1939 section 5, message numbers", Severity: command.severity,
				Why: number.why, Needs: needs, Steps: steps,
			})
		}
	}
	return cases
}

// askStat asks STAT.
func askStat(s *session) (pop3.Stat, error) {
	reply, err := s.ask("STAT")
	if err != nil {
		return pop3.Stat{}, err
	}
	text, err := pop3.ParseReply(reply)
	if err != nil {
		return pop3.Stat{}, fmt.Errorf("STAT: %q", pop3.Sanitize(reply))
	}
	return pop3.ParseStat(text)
}

func sum(all []pop3.Listing) pop3.Stat {
	stat := pop3.Stat{Messages: len(all)}
	for _, m := range all {
		stat.Octets += m.Octets
	}
	return stat
}

// eachSmall takes a step for each message that is small enough to retrieve.
func eachSmall(f func(*session, pop3.Listing) error) Step {
	return func(s *session) error {
		for _, m := range s.found.small {
			if err := f(s, m); err != nil {
				return err
			}
		}
		return nil
	}
}

var uidl = Needs{Login: true, Capability: pop3.CapUIDL}
var uidlOne = Needs{Login: true, Messages: 1, Capability: pop3.CapUIDL}

var uidlCases = []Case{
	{
		Name: "uidl/form", Section: "RFC 1939 section 7, UIDL", Severity: Must,
		Why:   "A unique-id is 1 to 70 octets of 0x21 to 0x7E, with one blank before it.",
		Needs: uidl,
		Steps: []Step{listing("UIDL", like("a number, a blank, and 1 to 70 printable octets", `^[1-9]\d* [!-~]{1,70}$`)), inStep},
	},
	{
		Name: "uidl/unique", Section: "RFC 1939 section 7, UIDL", Severity: Must,
		Why:   "Two messages never share a unique-id: a client would retrieve one of them only, and may delete both.",
		Needs: uidl,
		Steps: []Step{func(s *session) error {
			all, err := s.uidl()
			if err != nil {
				return err
			}
			seen := map[string]int{}
			for _, u := range all {
				if other, ok := seen[u.UID]; ok {
					return fmt.Errorf("messages %d and %d have the unique-id %q", other, u.Number, u.UID)
				}
				seen[u.UID] = u.Number
			}
			return nil
		}},
	},
	{
		Name: "uidl/agrees-with-list", Section: "RFC 1939 section 7, UIDL", Severity: Must,
		Why:   "UIDL lists the messages that LIST lists.",
		Needs: uidl,
		Steps: []Step{func(s *session) error {
			uids, err := s.uidl()
			if err != nil {
				return err
			}
			all, err := s.list()
			if err != nil {
				return err
			}
			if !slices.EqualFunc(uids, all, func(u pop3.UID, m pop3.Listing) bool { return u.Number == m.Number }) {
				return fmt.Errorf("UIDL and LIST, of %d and %d lines, are not for the same messages", len(uids), len(all))
			}
			return nil
		}},
	},
	{
		Name: "uidl/one", Section: "RFC 1939 section 7, UIDL", Severity: Must,
		Why:   "UIDL with a number says in one line what UIDL says of that message.",
		Needs: uidlOne,
		Steps: []Step{func(s *session) error {
			all, err := s.uidl()
			if err != nil {
				return err
			}
			for _, u := range all[:min(len(all), retrieveMany)] {
				if err := cmd(fmt.Sprintf("UIDL %d", u.Number), exactly(fmt.Sprintf("+OK %d %s", u.Number, u.UID)))(s); err != nil {
					return err
				}
			}
			return nil
		}, inStep},
	},
	{
		Name: "uidl/stable", Section: "RFC 1939 section 7, UIDL", Severity: Must,
		Why:   "A unique-id is the same in every session: else all mail is downloaded again.",
		Needs: uidlOne,
		Steps: []Step{func(s *session) error {
			return sameLater(s, (*session).logout)
		}},
	},
	{
		Name: "uidl/trailing-blank", Section: "RFC 1939 section 3", Severity: Habit,
		Why:   "Clients exist that send a blank behind UIDL.",
		Needs: uidl,
		Steps: []Step{listing("UIDL ", like("numbers", `^\d`)), inStep},
	},
}

// sameLater wants UIDL to be the same in a second session, after what ends
// the first. Mail that came meanwhile may stand at the end.
func sameLater(s *session, end func(*session) error) error {
	before, err := s.uidl()
	if err != nil {
		return err
	}
	if err := end(s); err != nil {
		return err
	}
	o := s.another()
	if err := o.open(true); err != nil {
		return err
	}
	if err := o.login(); err != nil {
		return fmt.Errorf("cannot log in again: %w", err)
	}
	after, err := o.uidl()
	if err != nil {
		return err
	}
	for i, u := range before {
		if i >= len(after) || after[i] != u {
			return fmt.Errorf("message %d, with the unique-id %q, is not there or not the same in the next session", u.Number, u.UID)
		}
	}
	return nil
}
