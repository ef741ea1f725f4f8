package takeover

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// errIMAP refuses what getmail6 remembers of a folder on an IMAP server.
var errIMAP = errors.New("this is getmail's memory of an IMAP folder, whose messages POP3 numbers otherwise")

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// readFetchmail splits at the last blank, since a unique-id has none, and what
// is before it at the last @, since a host name has none. fetchmail itself
// cannot read back users with a blank after an @.
func readFetchmail(p *parser) error {
	return p.each(func(line string, whole bool) error {
		if line == "" {
			return nil
		}
		server, user, uid, ok := cutFetchmail(line)
		switch {
		case !whole:
			p.bad("the line has no end")
		case !ok:
			p.bad("the line is not of the form user@server uid")
		default:
			return p.add(p.account(server, user), Seen{UID: uid})
		}
		return nil
	})
}

func cutFetchmail(line string) (server, user, uid string, ok bool) {
	blank := strings.LastIndexByte(line, ' ')
	if blank < 0 {
		return "", "", "", false
	}
	login, uid := line[:blank], line[blank+1:]
	at := strings.LastIndexByte(login, '@')
	if at < 0 || uid == "" {
		return "", "", "", false
	}
	user, server = login[:at], login[at+1:]
	if !validName(user) || !validName(server) || strings.Contains(server, " ") {
		return "", "", "", false
	}
	return server, user, uid, true
}

// readGetmail takes the account from the name of the file.
func readGetmail(p *parser) error {
	server, port, user, ok := parseOldmail(p.name)
	switch {
	case !ok: // the file was renamed
		server, port, user = "", 0, ""
	case port == 143 || port == 993:
		return errIMAP
	}
	a := p.account(server, user)
	a.Port, a.file = port, p.name
	return p.each(func(line string, whole bool) error {
		uid, stamp, found := strings.Cut(line, "\x00")
		uid, _, _ = strings.Cut(uid, " ") // a server that adds fields to UIDL has them here
		when, number := seconds(stamp)
		switch {
		case !whole:
			p.bad("the line has no end")
		case !found || !number:
			p.bad("the line is not a unique-id, NUL and a time in seconds")
		default:
			return p.add(a, Seen{UID: uid, When: when})
		}
		return nil
	})
}

// awkward are the characters that getmail6 does not want in a file's name.
var awkward = regexp.MustCompile(`[/\\:;<>|]+`)

// oldmailName is the name of getmail6's file for an account.
func oldmailName(server string, port int, user string) string {
	return awkward.ReplaceAllString("oldmail-"+server+"-"+strconv.Itoa(port)+"-"+user, "-")
}

// parseOldmail guesses the account by the name of its file. Host names and
// users may hold "-25-" too: a port of POP3 is the better guess, and otherwise
// the first number.
func parseOldmail(name string) (server string, port int, user string, ok bool) {
	rest, found := strings.CutPrefix(name, "oldmail-")
	if !found {
		return "", 0, "", false
	}
	fields := strings.Split(rest, "-")
	for i := 1; i < len(fields)-1; i++ {
		n, err := strconv.ParseUint(fields[i], 10, 16)
		if err != nil || n == 0 || fields[i][0] == '0' {
			continue
		}
		if known := n == 110 || n == 995; known || !ok {
			server, port, user, ok = strings.Join(fields[:i], "-"), int(n), strings.Join(fields[i+1:], "-"), true
			if known {
				break
			}
		}
	}
	return server, port, user, ok && validName(server) && validName(user)
}

// readMpop counts with the file: a list that ends early is damage, but what it
// holds is whole, line by line.
func readMpop(p *parser) error {
	var a *Account // of the list that runs
	var left int64 // lines of it
	comments := true
	err := p.each(func(line string, whole bool) error {
		if comments && strings.HasPrefix(line, "#") {
			return nil
		}
		comments = false // a unique-id may begin with #
		if strings.HasPrefix(line, " ") {
			if left > 0 {
				p.bad("the list before it has %d unique-ids less than it says", left)
			}
			server, user, n, ok := cutMpop(line)
			a, left = nil, 0
			if !ok || !whole {
				p.bad("the line is not of the form count server user")
				return nil
			}
			a, left = p.account(server, user), n
			return nil
		}
		switch {
		case !whole:
			p.bad("the line has no end")
		case a == nil || left == 0:
			p.bad("the unique-id belongs to no list")
		default:
			left--
			return p.add(a, Seen{UID: line})
		}
		return nil
	})
	if err == nil && left > 0 {
		p.bad("the list is cut: %d unique-ids are missing", left)
	}
	return err
}

// cutMpop reads the line before a list. The user may hold blanks, although
// mpop itself cannot read that back.
func cutMpop(line string) (server, user string, n int64, ok bool) {
	count, rest, _ := strings.Cut(strings.TrimPrefix(line, " "), " ")
	server, user, _ = strings.Cut(rest, " ")
	n, err := parseInt(count)
	return server, user, n, err == nil && n > 0 && validName(server) && validName(user)
}

// readThunderbird takes a last line without an end too where its time is
// there, since a Thunderbird from 2022 on writes none: the unique-id is whole
// then.
func readThunderbird(p *parser) error {
	var a *Account
	return p.each(func(line string, whole bool) error {
		line = strings.ReplaceAll(line, "\t", " ")
		switch {
		case strings.HasPrefix(line, "#") || line == "":
			return nil
		case strings.HasPrefix(line, "*"):
			server, user, _ := strings.Cut(line[1:], " ")
			a = nil
			if !whole || !validName(server) || !validName(user) {
				p.bad("the line is not of the form *server user")
				return nil
			}
			a = p.account(server, user)
			return nil
		case a == nil:
			p.bad("the message belongs to no account")
			return nil
		}
		return popstate(p, a, line, whole)
	})
}

// popstate reads a line of popstate.dat about a message. Netscape's had no
// time.
func popstate(p *parser, a *Account, line string, whole bool) error {
	fields := strings.Fields(line)
	s, ok := Seen{}, len(fields) == 2 && whole
	if len(fields) == 3 {
		s.When, ok = seconds(fields[2])
		if !whole && len(fields[2]) < 10 { // cut: times since 2001 have 10 digits
			s.When = time.Time{}
		}
	}
	if !ok {
		p.bad("the line is not of the form status uid seconds")
		return nil
	}
	s.UID = fields[1]
	switch fields[0] {
	case "k":
	case "d":
		s.Deleted = true
	case "b", "f":
		a.Partial++
		return nil
	default:
		p.bad("status %q is not k, d, b or f", pop3.Sanitize(fields[0]))
		return nil
	}
	return p.add(a, s)
}

// readPlain leaves a last line without an end out: where unique-ids are numbers,
// one that was cut is another message's.
func readPlain(p *parser) error {
	a := p.account("", "")
	return p.each(func(line string, whole bool) error {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			return nil
		case !whole:
			p.bad("the line has no end; give it one if the unique-id is whole")
			return nil
		}
		return p.add(a, Seen{UID: line})
	})
}
