package conformance

import (
	"fmt"
	"slices"

	"github.com/poplin-mail/poplin/pop3"
)

// deleteCases mark messages. The connection is dropped behind them, never
// ended by QUIT, so that a server deletes nothing: see (*session).send.
var deleteCases = []Case{
	{
		Name: "dele/no-argument", Section: "RFC 1939 section 5, DELE", Severity: Must,
		Why:   "DELE needs a number, and deletes nothing without one.",
		Needs: login,
		Steps: []Step{cmd("DELE", isErr), inStep, nothingMarked},
	},
	{
		Name: "dele/surplus-argument", Section: "RFC 1939 section 5, DELE", Severity: Should,
		Why:   "DELE has one argument. A client that sent two meant something else.",
		Needs: Needs{Login: true, Messages: 2},
		Steps: []Step{cmd("DELE {first} {last}", isErr), inStep, nothingMarked},
	},
	{
		Name: "dele/hides", Section: "RFC 1939 section 5, LIST, RETR and DELE", Severity: Must,
		Why:   "A message that is marked as deleted is there no more for LIST, RETR and DELE.",
		Needs: oneMessage,
		Steps: []Step{cmd("DELE {first}", isOK), cmd("LIST {first}", isErr), cmd("RETR {first}", isErr), cmd("DELE {first}", isErr), inStep},
	},
	{
		Name: "dele/hides-from-top", Section: "RFC 1939 section 7, TOP", Severity: Must,
		Why:   "A message that is marked as deleted is there no more for TOP.",
		Needs: topNeeds,
		Steps: []Step{cmd("DELE {first}", isOK), cmd("TOP {first} 0", isErr), inStep},
	},
	{
		Name: "dele/hides-from-uidl", Section: "RFC 1939 section 7, UIDL", Severity: Must,
		Why:   "A message that is marked as deleted is there no more for UIDL.",
		Needs: uidlOne,
		Steps: []Step{cmd("DELE {first}", isOK), cmd("UIDL {first}", isErr), func(s *session) error {
			all, err := s.uidl()
			if err != nil {
				return err
			}
			if slices.ContainsFunc(all, func(u pop3.UID) bool { return u.Number == s.found.small[0].Number }) {
				return fmt.Errorf("UIDL lists message %d, which is marked", s.found.small[0].Number)
			}
			return nil
		}},
	},
	{
		Name: "dele/stat", Section: "RFC 1939 section 5, STAT", Severity: Must,
		Why:   "STAT does not count what is marked, neither in messages nor in octets.",
		Needs: oneMessage,
		Steps: []Step{func(s *session) error {
			before, err := askStat(s)
			if err != nil {
				return err
			}
			if err := cmd("DELE {first}", isOK)(s); err != nil {
				return err
			}
			after, err := askStat(s)
			if err != nil {
				return err
			}
			want := pop3.Stat{Messages: before.Messages - 1, Octets: before.Octets - s.found.small[0].Octets}
			if after != want {
				return fmt.Errorf("STAT: want %d messages of %d octets, got %d of %d", want.Messages, want.Octets, after.Messages, after.Octets)
			}
			return nil
		}},
	},
	{
		Name: "dele/numbers-stay", Section: "RFC 1939 section 5, DELE", Severity: Must,
		Why:   "No message gets another number because one is marked: a client would delete the wrong ones.",
		Needs: Needs{Login: true, Messages: 2},
		Steps: []Step{func(s *session) error {
			before, err := s.list()
			if err != nil {
				return err
			}
			if err := cmd("DELE {first}", isOK)(s); err != nil {
				return err
			}
			after, err := s.list()
			if err != nil {
				return err
			}
			want := slices.DeleteFunc(before, func(m pop3.Listing) bool { return m.Number == s.found.small[0].Number })
			if !slices.Equal(after, want) {
				return fmt.Errorf("LIST behind DELE %d: want %v, got %v", s.found.small[0].Number, want, after)
			}
			return nil
		}},
	},
	{
		Name: "rset/restores", Section: "RFC 1939 section 5, RSET", Severity: Must,
		Why:   "RSET takes every mark away, and changes nothing else.",
		Needs: oneMessage,
		Steps: []Step{cmd("DELE {first}", isOK), cmd("RSET", isOK), nothingMarked, cmd("DELE {first}", isOK)},
	},
	{
		Name: "dele/lost-connection", Section: "RFC 1939 section 6", Severity: Must,
		Why:   "A connection that is lost deletes nothing: what was marked in it may not have been stored.",
		Needs: uidlOne,
		Steps: []Step{func(s *session) error {
			return sameLater(s, func(s *session) error {
				if err := cmd("DELE {first}", isOK)(s); err != nil {
					return err
				}
				return s.conn.Close()
			})
		}},
	},
	{
		Name: "dele/truncated-quit", Section: "RFC 1939 section 6", Severity: Must,
		Why:   "QUIT without its line end is not a command: a connection lost there deletes nothing.",
		Needs: Needs{Login: true, Messages: 1, Capability: pop3.CapUIDL, Destructive: true},
		Steps: []Step{func(s *session) error {
			return sameLater(s, func(s *session) error {
				if err := cmd("DELE {last}", isOK)(s); err != nil {
					return err
				}
				if err := s.send("QUIT"); err != nil {
					return err
				}
				return s.conn.Close()
			})
		}},
	},
	{
		Name: "dele/quit-deletes", Section: "RFC 1939 section 6", Severity: Must,
		Why:   "QUIT deletes what is marked, and nothing else.",
		Needs: Needs{Login: true, Messages: 1, Capability: pop3.CapUIDL, Destructive: true},
		Steps: []Step{quitDeletes},
	},
}

// nothingMarked wants LIST to be what it was when the run began.
func nothingMarked(s *session) error {
	all, err := s.list()
	if err != nil {
		return err
	}
	known := s.found.messages
	if len(all) < len(known) || !slices.Equal(all[:len(known)], known) {
		return fmt.Errorf("LIST has changed: want %d messages of %d octets, got %d of %d",
			len(known), sum(known).Octets, len(all), sum(all).Octets)
	}
	return nil
}

// quitDeletes deletes the last message that is small. The facts change with it.
func quitDeletes(s *session) error {
	before, err := s.uidl()
	if err != nil {
		return err
	}
	for _, step := range []Step{cmd("DELE {last}", isOK), cmd("QUIT", isOK), ends} {
		if err := step(s); err != nil {
			return err
		}
	}
	gone := s.found.small[len(s.found.small)-1].Number
	o := s.another()
	if err := o.open(true); err != nil {
		return err
	}
	if err := o.login(); err != nil {
		return fmt.Errorf("cannot log in again: %w", err)
	}
	if s.found.messages, err = o.list(); err != nil {
		return err
	}
	s.found.small = slices.DeleteFunc(s.found.small, func(m pop3.Listing) bool { return m.Number >= gone })
	after, err := o.uidl()
	if err != nil {
		return err
	}
	var deleted string
	want := uidTexts(slices.DeleteFunc(before, func(u pop3.UID) bool {
		if u.Number == gone {
			deleted = u.UID
		}
		return u.Number == gone
	}))
	got := uidTexts(after)
	if len(got) < len(want) || !slices.Equal(got[:len(want)], want) || slices.Contains(got, deleted) {
		return fmt.Errorf("behind DELE %d and QUIT: want the unique-ids %q, got %q", gone, want, got)
	}
	return nil
}

func uidTexts(all []pop3.UID) []string {
	var texts []string
	for _, u := range all {
		texts = append(texts, u.UID)
	}
	return texts
}
