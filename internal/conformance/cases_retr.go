package conformance

import (
	"fmt"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

var retrCases = []Case{
	{
		Name: "retr/size", Section: "RFC 1939 section 5 and section 11", Severity: Must,
		Why:   "RETR sends exactly the octets that LIST announces, dots not stuffed. Clients take fewer for a truncated message, and progress bars and quotas rest on it.",
		Needs: oneMessage,
		Steps: []Step{eachSmall(func(s *session, m pop3.Listing) error {
			text, err := retrieve(s, m.Number)
			if err != nil {
				return err
			}
			if int64(len(text)) != m.Octets {
				return fmt.Errorf("message %d has %d octets, LIST announces %d", m.Number, len(text), m.Octets)
			}
			return nil
		}), inStep},
	},
	{
		Name: "retr/dots", Section: "RFC 1939 section 3", Severity: Must,
		Why:   "Each dot at the start of a line is doubled, at the very first octet too: a line of one dot would end the message in its midst.",
		Needs: oneMessage,
		Steps: []Step{func(s *session) error {
			stuffed := 0
			for _, m := range s.found.small {
				_, seen, err := s.askText(fmt.Sprintf("RETR %d", m.Number))
				if err != nil {
					return err
				}
				if seen.bare != "" {
					return fmt.Errorf("message %d: a line begins with a dot that is not stuffed: %q", m.Number, short(seen.bare))
				}
				stuffed += seen.stuffed
			}
			if stuffed == 0 {
				return notApplicable("no message has a line that begins with a dot")
			}
			return nil
		}, inStep},
	},
	{
		Name: "retr/twice", Section: "RFC 1939 section 5, RETR", Severity: Must,
		Why:   "A message is the same octets each time.",
		Needs: oneMessage,
		Steps: []Step{eachSmall(func(s *session, m pop3.Listing) error {
			first, err := retrieve(s, m.Number)
			if err != nil {
				return err
			}
			second, err := retrieve(s, m.Number)
			if err != nil {
				return err
			}
			return same(fmt.Sprintf("message %d, twice", m.Number), second, first)
		})},
	},
	{
		Name: "retr/no-argument", Section: "RFC 1939 section 5, RETR", Severity: Must,
		Why:   "RETR needs a number.",
		Needs: login,
		Steps: []Step{cmd("RETR", isErr), inStep},
	},
	{
		Name: "retr/surplus-argument", Section: "RFC 1939 section 5, RETR", Severity: Should,
		Why:   "RETR has one argument.",
		Needs: oneMessage,
		Steps: []Step{cmd("RETR {first} {first}", isErr), inStep},
	},
	{
		Name: "retr/any-order", Section: "RFC 1939 section 5, RETR", Severity: Must,
		Why:   "Messages come in the order in which they are asked for.",
		Needs: Needs{Login: true, Messages: 2},
		Steps: []Step{func(s *session) error {
			texts := map[int]string{}
			for _, m := range s.found.small {
				text, err := retrieve(s, m.Number)
				if err != nil {
					return err
				}
				texts[m.Number] = text
			}
			for i := len(s.found.small) - 1; i >= 0; i-- {
				n := s.found.small[i].Number
				text, err := retrieve(s, n)
				if err != nil {
					return err
				}
				if err := same(fmt.Sprintf("message %d, backwards", n), text, texts[n]); err != nil {
					return err
				}
			}
			return nil
		}},
	},
}

// retrieve gives the text of message n.
func retrieve(s *session, n int) (string, error) {
	text, _, err := s.askText(fmt.Sprintf("RETR %d", n))
	return text, err
}

var topNeeds = Needs{Login: true, Messages: 1, Capability: pop3.CapTop}

// topIs wants TOP with k to be what RETR says it ought to be.
func topIs(k int) Step {
	return eachSmall(func(s *session, m pop3.Listing) error {
		message, err := retrieve(s, m.Number)
		if err != nil {
			return err
		}
		command := fmt.Sprintf("TOP %d %d", m.Number, k)
		text, _, err := s.askText(command)
		if err != nil {
			return err
		}
		want := top(message, min(k, strings.Count(message, "\n")))
		if want == message && text == want+"\r\n" {
			return nil // a header without a blank line, which the server added
		}
		return same(command, text, want)
	})
}

var topCases = []Case{
	{
		Name: "top/header", Section: "RFC 1939 section 7, TOP", Severity: Must,
		Why:   "TOP n 0 is the header and the blank line, and nothing of the body.",
		Needs: topNeeds,
		Steps: []Step{topIs(0), inStep},
	},
	{
		Name: "top/lines", Section: "RFC 1939 section 7, TOP", Severity: Must,
		Why:   "TOP n k is the header, the blank line, and k lines of the body.",
		Needs: topNeeds,
		Steps: []Step{topIs(1), topIs(2), inStep},
	},
	{
		Name: "top/all", Section: "RFC 1939 section 7, TOP", Severity: Must,
		Why:   "TOP with more lines than there are is the message.",
		Needs: topNeeds,
		Steps: []Step{topIs(999_999), inStep},
	},
	{
		Name: "top/no-count", Section: "RFC 1939 section 7, TOP", Severity: Must,
		Why:   "TOP needs a count of lines.",
		Needs: topNeeds,
		Steps: []Step{cmd("TOP {first}", isErr), inStep},
	},
	{
		Name: "top/negative-count", Section: "RFC 1939 section 7, TOP", Severity: Must,
		Why:   "A count of lines is not negative.",
		Needs: topNeeds,
		Steps: []Step{cmd("TOP {first} -1", isErr), inStep},
	},
	{
		Name: "top/huge-count", Section: "fetchmail", Severity: Habit,
		Why:   "Clients retrieve whole messages by TOP with a count of 99999999, so that they are not marked as read.",
		Needs: topNeeds,
		Steps: []Step{topIs(99_999_999), inStep},
	},
}

// cutBlank splits a command at its first blank.
func cutBlank(command string) (verb, rest string, ok bool) { return strings.Cut(command, " ") }
