package pop3server

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// A command is a row of a state's table: the form of its arguments, which is
// checked before, and what it does. No handler asks for the state it is in.
//
// A handler writes its positive reply and returns nil, or returns an error
// and leaves the reply to the loop, see (*session).reply.
type command struct {
	args args
	run  func(*session, context.Context, argument) error
	verb string // set by named
}

// named gives the rows of a table their verbs.
func named(table map[string]command) map[string]command {
	for verb, row := range table {
		row.verb = verb
		table[verb] = row
	}
	return table
}

// args is the form of a command's arguments.
type args uint8

const (
	noArgument args = iota // none; trailing blanks are tolerated
	text                   // all that follows one blank, blanks kept; not empty
	optional               // as text, or nothing, or nothing but blanks
	message                // the number of a message that is there
	anyMessage             // as message, or nothing
	topLines               // as message, and a count of lines
)

// argument is what a command was given, checked.
type argument struct {
	text  string
	n     int // message number, 0 where none was given
	lines int
}

var authorization = named(map[string]command{
	"USER": {args: text, run: (*session).userCmd},
	"PASS": {args: text, run: (*session).pass},
	"APOP": {args: text, run: (*session).apop},
	"AUTH": {args: optional, run: (*session).authCmd},
	"STLS": {args: noArgument, run: (*session).stls},
	"CAPA": {args: noArgument, run: (*session).capa},
	"UTF8": {args: noArgument, run: (*session).utf8},
	"LANG": {args: optional, run: (*session).langCmd},
	"QUIT": {args: noArgument, run: (*session).quitEarly},
})

var transaction = named(map[string]command{
	"STAT": {args: noArgument, run: (*session).stat},
	"LIST": {args: anyMessage, run: (*session).list},
	"RETR": {args: message, run: (*session).retr},
	"DELE": {args: message, run: (*session).dele},
	"NOOP": {args: noArgument, run: (*session).noop},
	"RSET": {args: noArgument, run: (*session).rset},
	"TOP":  {args: topLines, run: (*session).top},
	"UIDL": {args: anyMessage, run: (*session).uidl},
	"CAPA": {args: noArgument, run: (*session).capa},
	"UTF8": {args: noArgument, run: (*session).utf8}, // not in RFC 6856; Outlook sends it here
	"LANG": {args: optional, run: (*session).langCmd},
	"QUIT": {args: noArgument, run: (*session).quit},
})

// command carries out one line and replies.
func (s *session) command(ctx context.Context, line []byte) {
	verb, rest, given := bytes.Cut(line, []byte{' '})
	row, known := s.lookup(verb)
	if !known {
		s.saw(otherVerb)
		s.reply(s.unknown(verb))
		s.srv.watch.Command(otherVerb, 0, false)
		return
	}
	s.saw(row.verb)
	begun := time.Now()
	arg, err := s.check(row.args, string(rest), given)
	if err == nil {
		err = row.run(s, ctx, arg)
	}
	s.reply(err)
	s.srv.watch.Command(row.verb, time.Since(begun), err == nil)
}

// otherVerb stands for what is no command of the state.
const otherVerb = "other"

// lookup finds the verb, in any case, in the table of the state.
func (s *session) lookup(verb []byte) (command, bool) {
	var upper [4]byte
	if len(verb) > len(upper) {
		return command{}, false
	}
	for i, c := range verb {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	row, ok := s.table()[string(upper[:len(verb)])]
	return row, ok
}

func (s *session) table() map[string]command {
	if s.state == pop3.Authorization {
		return authorization
	}
	return transaction
}

// unknown says what is wrong with a verb that the state's table lacks. One
// that another state knows is a slip; one that none knows is a bad command,
// of which a session has only so many: what speaks HTTP or SMTP to this port
// is sent away. Nothing of the input is sent back.
func (s *session) unknown(verb []byte) error {
	name := strings.ToUpper(string(verb))
	if _, ok := transaction[name]; ok {
		return errBeforeLogin
	}
	if _, ok := authorization[name]; ok {
		return errAfterLogin
	}
	s.bad++
	limit := maxBadBeforeLogin
	if s.state != pop3.Authorization {
		limit = maxBadAfterLogin
	}
	if s.bad >= limit {
		s.closing, s.linger, s.why = true, true, "too many unknown commands"
	}
	return errUnknown
}

// check reads the arguments of a command in the form that its row asks for.
func (s *session) check(form args, rest string, given bool) (argument, error) {
	if strings.ContainsAny(rest, "\x00\r") {
		return argument{}, errArgument
	}
	switch form {
	case text:
		if rest == "" {
			return argument{}, errArgumentMissing
		}
		return argument{text: rest}, nil
	case optional:
		if strings.Trim(rest, " \t") == "" {
			rest = ""
		}
		return argument{text: rest}, nil
	}
	fields, count := numbers(rest)
	switch {
	case form == noArgument && count == 0, form == anyMessage && count == 0:
		return argument{}, nil
	case form == noArgument:
		return argument{}, errArgumentSurplus
	case form == topLines && count != len(fields):
		return argument{}, errTop
	case form == topLines:
		return s.checkTop(fields)
	case count == 0:
		return argument{}, errNumberMissing
	case count > 1:
		return argument{}, errArgumentSurplus
	}
	n, err := s.checkNumber(fields[0])
	return argument{n: n}, err
}

// numbers gives the first two fields of what blanks separate, and how many
// there are, as far as three. Tabs are tolerated at the end.
func numbers(rest string) (fields [2]string, count int) {
	rest = strings.TrimRight(rest, "\t ")
	for count <= len(fields) {
		rest = strings.TrimLeft(rest, " ")
		if rest == "" {
			break
		}
		field, behind, _ := strings.Cut(rest, " ")
		if count < len(fields) {
			fields[count] = field
		}
		count++
		rest = behind
	}
	return fields, count
}

// checkNumber reads the number of a message that is there and not marked.
func (s *session) checkNumber(field string) (int, error) {
	n, ok := pop3.ParseNumber(field)
	switch {
	case !ok || n > s.msgs.count:
		return 0, errNoMessage
	case s.isMarked(n):
		return 0, errMarked
	}
	return n, nil
}

func (s *session) checkTop(fields [2]string) (argument, error) {
	lines, ok := pop3.ParseCount(fields[1])
	if !ok {
		return argument{}, errTop
	}
	n, err := s.checkNumber(fields[0])
	return argument{n: n, lines: lines}, err
}

// isMarked reports whether DELE marked message n.
func (s *session) isMarked(n int) bool { return s.marked != nil && s.marked[n-1] }
