package conformance

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// matcher says whether a status line is what it ought to be.
type matcher struct {
	what  string // for a person
	match func(reply string) bool
}

// like matches by a regular expression.
func like(what, pattern string) matcher {
	return matcher{what, regexp.MustCompile(pattern).MatchString}
}

var (
	isOK     = like("+OK", `^\+OK( |$)`)
	isErr    = like("-ERR", `^-ERR( |$)`)
	isEither = like("+OK or -ERR", `^(\+OK|-ERR)( |$)`)
	goesOn   = like(`"+ " and a challenge`, `^\+ `)
)

// send sends octets as they are.
func send(octets string) Step {
	return func(s *session) error { return s.send(octets) }
}

// reply expects a status line.
func reply(m matcher) Step {
	return func(s *session) error {
		line, err := s.conn.line(pop3.MaxReplyLine)
		if err != nil {
			return fmt.Errorf("want %s: %w", m.what, err)
		}
		if !m.match(line) {
			return fmt.Errorf("want %s, got %q", m.what, pop3.Sanitize(line))
		}
		return nil
	}
}

// cmd sends a command line and expects a status line.
func cmd(command string, m matcher) Step {
	return func(s *session) error {
		name := short(s.expand(command))
		line, err := s.ask(command)
		if err != nil {
			return fmt.Errorf("%q: want %s: %w", name, m.what, err)
		}
		if !m.match(line) {
			return fmt.Errorf("%q: want %s, got %q", name, m.what, pop3.Sanitize(line))
		}
		return nil
	}
}

// inStep wants the session to be in step in the TRANSACTION state: one reply
// too many or too few would show.
var inStep = cmd("STAT", like("+OK and two numbers", `^\+OK \d+ \d+`))

// inStepEarly is inStep for the AUTHORIZATION state.
var inStepEarly = all(cmd("PASS", isErr), cmd("QUIT", isOK), ends)

// all takes steps one after the other.
func all(steps ...Step) Step {
	return func(s *session) error {
		for _, step := range steps {
			if err := step(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// ends wants the server to close the connection, and to send nothing before.
func ends(s *session) error {
	line, err := s.conn.rawLine()
	switch {
	case err == nil:
		return fmt.Errorf("want the connection to end, got %q", pop3.Sanitize(line))
	case err != errClosed:
		return fmt.Errorf("want the connection to end: %w", err)
	}
	return nil
}

// listing wants a multi-line reply whose every line matches.
func listing(command string, m matcher) Step {
	return func(s *session) error {
		lines, err := s.askList(command)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !m.match(line) {
				return fmt.Errorf("%s: want lines of %s, got %q", command, m.what, pop3.Sanitize(line))
			}
		}
		return nil
	}
}

// same compares texts from the server and shows where they part.
func same(what, got, want string) error {
	if got == want {
		return nil
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Errorf("%s: %d octets against %d, first different at octet %d: %q against %q",
		what, len(got), len(want), at, around(got, at), around(want, at))
}

// short is pop3.Sanitize for what need not be shown to its end.
func short(text string) string {
	const limit = 60
	text = pop3.Sanitize(text)
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return text
}

func around(s string, at int) string {
	return pop3.Sanitize(s[max(0, at-5):min(len(s), at+20)])
}

// top gives the header of a message, the blank line and k lines.
func top(message string, k int) string {
	_, body, ok := strings.Cut("\r\n"+message, "\r\n\r\n") // it may begin with the blank line
	if !ok {
		return message
	}
	end := len(message) - len(body)
	for range k {
		i := strings.Index(message[end:], "\r\n")
		if i < 0 {
			return message
		}
		end += i + 2
	}
	return message[:end]
}
