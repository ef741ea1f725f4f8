package conformance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// lineCases are about the octets of command lines.
var lineCases = []Case{
	{
		Name: "lines/empty", Section: "RFC 1939 section 3", Severity: Should,
		Why:   "An empty line is a bad command: one -ERR, and the session goes on.",
		Needs: login,
		Steps: []Step{cmd("", isErr), inStep},
	},
	{
		Name: "lines/strange-verbs", Section: "RFC 1939 section 3", Severity: Must,
		Why:   "Whatever a line holds, it has one reply.",
		Needs: login,
		Steps: []Step{cmd(":", isErr), cmd("%n%s%d", isErr), cmd("\xff\xfe", isErr), cmd("[x]", isErr), inStep},
	},
	{
		Name: "lines/nul", Section: "RFC 1939 section 3", Severity: Should,
		Why:   "A NUL does not end a command: NOOP NUL is not NOOP.",
		Needs: login,
		Steps: []Step{cmd("NOOP\x00", isErr), inStep},
	},
	{
		Name: "lines/longest", Section: "RFC 2449 section 4", Severity: Must,
		Why:   "A command line of 255 octets is read whole.",
		Needs: login,
		Steps: []Step{cmd("NOOP"+strings.Repeat("x", 249), isErr), inStep},
	},
	{
		Name: "lines/too-long", Section: "RFC 2449 section 4", Severity: Must,
		Why:   "A line over the limit has one -ERR. Behind it the connection ends, or the session is in step: never is the rest of the line a command.",
		Needs: login,
		Steps: []Step{func(s *session) error {
			if err := s.send(strings.Repeat("NOOP ", 4000) + "\r\n"); err != nil {
				return closedOnly(err)
			}
			if line, err := s.conn.line(pop3.MaxReplyLine); err != nil {
				return closedOnly(err)
			} else if !isErr.match(line) {
				return fmt.Errorf("want -ERR, got %q", pop3.Sanitize(line))
			}
			line, err := s.ask("STAT")
			if err != nil {
				return closedOnly(err)
			}
			if !strings.HasPrefix(line, "+OK ") {
				return fmt.Errorf("the session is out of step: STAT is answered by %q", pop3.Sanitize(line))
			}
			return nil
		}},
	},
	{
		Name: "lines/octet-by-octet", Section: "RFC 1939 section 3", Severity: Must,
		Why:   "A command may come in any number of segments.",
		Needs: login,
		Steps: []Step{octets("STAT\r\n"), reply(isOK), inStep},
	},
	{
		Name: "lines/no-echo", Section: "RFC 1939 section 13", Severity: Should,
		Why: "Before the login nothing that was sent is sent back: a browser can be made to run it.",
		Steps: []Step{func(s *session) error {
			line, err := s.ask("POPLINCHECK <script>")
			if err != nil {
				return closedOnly(err)
			}
			if strings.Contains(line, "POPLINCHECK") || strings.Contains(line, "<script>") {
				return fmt.Errorf("the reply holds what was sent: %q", pop3.Sanitize(line))
			}
			return nil
		}},
	},
	{
		Name: "lines/sends-away", Section: "RFC 1939 section 13", Severity: Habit,
		Why: "What is no POP3 client, such as a browser, is sent away after some unknown commands.",
		Steps: []Step{func(s *session) error {
			for range 30 {
				if _, err := s.ask("X-Header: value"); err != nil {
					return closedOnly(err)
				}
			}
			return errors.New("30 unknown commands before the login, and the session goes on")
		}},
	},
}

// octets sends one octet at a time, with pauses, so that each is a segment.
func octets(command string) Step {
	return func(s *session) error {
		for i := range command {
			if err := s.send(command[i : i+1]); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	}
}

// closedOnly passes over a connection that the server closed.
func closedOnly(err error) error {
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}
