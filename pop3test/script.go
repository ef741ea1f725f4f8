package pop3test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Script is a written session: the text of a transcript, read. One script
// serves any number of players at once.
type Script struct {
	About string // the comment it begins with
	steps []step
}

// step is a line of a script.
type step struct {
	line int    // in the transcript, from 1; for messages of error
	side byte   // 'C', 'S', or '!' for a directive
	kind byte   // what stands behind the side: one of : | = + -
	text string // of a line; escapes not yet read
	args []string
}

func (s step) String() string {
	if s.side == '!' {
		return "! " + strings.Join(s.args, " ")
	}
	return string([]byte{s.side, s.kind}) + " " + s.text
}

// arity says how many arguments a directive takes: at least, and at most.
var arity = map[string][2]int{
	"tls": {0, 0}, "session": {1, 1}, "client closes": {0, 0}, "client cuts": {0, 0}, "server closes": {0, 0},
	"server cuts": {0, 0}, "one write": {0, 0}, "never": {1, 99}, "wait": {1, 1},
	"left": {0, 999}, "deliver": {1, 1}, "repair": {0, 0}, "error": {1, 1},
	"fault open": {1, 1}, "fault auth": {0, 0}, "fault gone": {1, 1}, "fault refuse": {1, 1},
	"fault read": {2, 2}, "fault short": {2, 2}, "fault long": {2, 2}, "fault remove": {1, 1},
}

// macros are directives that stand for other lines.
var macros = map[string][]string{
	"greeting": {"S: +OK ..."},
	"login": {"! greeting", "C: USER " + DefaultUser, "S: +OK ...",
		"C: PASS " + DefaultPassword, "S: +OK ..."},
	"quit": {"C: QUIT", "S: +OK ...", "! server closes"},
}

// ParseScript reads a transcript. With apop the directives for the greeting
// expect one with a timestamp.
func ParseScript(text string, apop bool) (*Script, error) {
	s := &Script{}
	n := 0
	var about []string
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			if len(s.steps) == 0 {
				about = append(about, strings.TrimSpace(comment))
			}
			continue
		}
		if line == "" {
			continue
		}
		if err := s.add(n, line, apop); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	s.About = strings.Join(about, " ")
	return s, s.check()
}

func (s *Script) add(n int, line string, apop bool) error {
	if name, ok := strings.CutPrefix(line, "! "); ok {
		if name == "greeting" && apop {
			return s.add(n, "S: +OK ...{timestamp}...", apop)
		}
		if lines, ok := macros[name]; ok {
			for _, line := range lines {
				if err := s.add(n, line, apop); err != nil {
					return err
				}
			}
			return nil
		}
		args, err := directive(name)
		s.steps = append(s.steps, step{line: n, side: '!', args: args})
		return err
	}
	if len(line) < 2 || !strings.Contains("C: C| S: S= S| S+ S-", line[:2]) {
		return fmt.Errorf("%q is no line of a transcript", line)
	}
	st := step{line: n, side: line[0], kind: line[1], text: strings.TrimPrefix(line[2:], " ")}
	if st.kind == '+' || st.kind == '-' {
		st.args = strings.Fields(st.text)
		if len(st.args) == 0 {
			return errors.New("no word to look for")
		}
	}
	s.steps = append(s.steps, st)
	return checkText(st)
}

// directive splits a directive into its name, which may be of two words, and
// its arguments.
func directive(s string) ([]string, error) {
	words := strings.Split(s, " ")
	name, args := words[0], words[1:]
	if _, known := arity[name]; !known && len(args) > 0 {
		name, args = name+" "+args[0], args[1:]
	}
	want, known := arity[name]
	switch {
	case !known:
		return nil, fmt.Errorf("unknown directive %q", name)
	case len(args) < want[0] || len(args) > want[1]:
		return nil, fmt.Errorf("directive %q takes %d to %d arguments", name, want[0], want[1])
	}
	var err error
	switch {
	case name == "wait":
		_, err = time.ParseDuration(args[0])
	case name == "left" || name == "deliver" || strings.HasPrefix(name, "fault ") && name != "fault open":
		_, err = numbers(args)
	case name == "never":
		_, err = unescape(strings.Join(args, " "))
	case name == "fault open" && openFaults[args[0]] == nil:
		err = fmt.Errorf("unknown fault %q", args[0])
	case name == "error" && !strings.Contains(" eof protocol any ", " "+args[0]+" "):
		err = fmt.Errorf("unknown error %q", args[0])
	}
	return append([]string{name}, args...), err
}

func numbers(args []string) ([]int, error) {
	list := make([]int, len(args))
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is no number", arg)
		}
		list[i] = n
	}
	return list, nil
}

// check looks for lists without an end.
func (s *Script) check() error {
	for i, st := range s.steps {
		if st.side != 'S' || (st.kind != '+' && st.kind != '-') {
			continue
		}
		if i+1 == len(s.steps) || s.steps[i+1].side != 'S' || s.steps[i+1].isContent() {
			return fmt.Errorf("line %d: a list does not end in \"S: .\"", st.line)
		}
	}
	return nil
}

// isContent says that the step neither continues nor ends a list of S+ and S-.
func (s step) isContent() bool {
	return s.kind != '+' && s.kind != '-' && !(s.kind == ':' && s.text == ".")
}

// status reports whether a line of the server is a status line, with
// wildcards in it.
func (s step) status() bool {
	return s.kind == ':' && (strings.HasPrefix(s.text, "+OK") || strings.HasPrefix(s.text, "-ERR"))
}
