package takeover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// Program is a program whose memory can be read.
type Program string

// The programs, and the list that any program or person can write.
const (
	Fetchmail   Program = "fetchmail"
	Getmail     Program = "getmail"
	Mpop        Program = "mpop"
	Thunderbird Program = "thunderbird"
	Plain       Program = "plain" // a unique-id a line
)

// Seen is a message that was downloaded.
type Seen struct {
	UID     string    // as the program has it: see Account.Match
	Size    int64     // in octets; 0 where it is not known
	When    time.Time // of the download; zero where it is not known
	Deleted bool      // the program meant to delete it on the server
}

// Account is what a program remembers of one account.
type Account struct {
	Program Program
	Server  string // as the program has it; empty where it is not known
	Port    int    // 0 where it is not known
	User    string
	Seen    []Seen // in the order of the file; equal unique-ids stay

	// Partial is how many messages the program has in part only, such as
	// their headers. They are not in Seen.
	Partial int

	file string // the name of getmail's file, from which Server and User are guessed
}

// For reports whether the account is that one. What a program does not
// remember counts as the same.
func (a *Account) For(server string, port int, user string) bool {
	switch a.Program {
	case Plain:
		return true
	case Getmail:
		return a.file == oldmailName(server, port, user)
	case Fetchmail: // it compares both without regard to case
		return strings.EqualFold(a.Server, server) && strings.EqualFold(a.User, user)
	}
	return strings.EqualFold(a.Server, server) && a.User == user
}

// Match gives those of a server's unique-ids that the program has downloaded,
// in the server's form and order. A unique-id that the server has for several
// messages comes as often as the server and the program both have it.
func (a *Account) Match(uids []string) []Seen {
	have := map[string][]Seen{}
	for _, s := range a.Seen {
		have[s.UID] = append(have[s.UID], s)
	}
	names := map[string]string{} // the one unique-id that the program notes so
	for _, uid := range uids {
		noted := a.noted(uid)
		if other, taken := names[noted]; taken && other != uid {
			uid = "" // nobody can tell which of the two it has
		}
		names[noted] = uid
	}
	var seen []Seen
	for _, uid := range uids {
		noted := a.noted(uid)
		if left := have[noted]; len(left) > 0 && names[noted] == uid {
			have[noted] = left[1:]
			s := left[0]
			s.UID = uid
			seen = append(seen, s)
		}
	}
	return seen
}

// noted is the form in which the program notes a unique-id.
func (a *Account) noted(uid string) string {
	if a.Program == Getmail {
		return strings.ReplaceAll(uid, "/", "-")
	}
	return uid
}

// DamagedError says that a file holds something that is no whole record. What
// else the file holds was read nevertheless.
type DamagedError struct {
	Name   string // of the file
	Line   int    // the first such line
	Reason string // what is wrong with it
	Count  int    // lines that were left out
}

// Error implements error.
func (e *DamagedError) Error() string {
	text := fmt.Sprintf("%s: line %d: %s", pop3.Sanitize(e.Name), e.Line, e.Reason)
	switch e.Count {
	case 0, 1:
		return text
	case 2:
		return text + " (and one more line)"
	}
	return fmt.Sprintf("%s (and %d more lines)", text, e.Count-1)
}

// ErrUnknown says that a file is of none of the formats. It comes wrapped.
var ErrUnknown = errors.New("not the memory of fetchmail, getmail6, mpop or Thunderbird, nor a list with one unique-id a line")

// Read reads the memory of whichever program wrote the file. Where the error
// is a *DamagedError, the accounts hold everything that is whole.
func Read(path string) ([]Account, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	program, err := detect(f, filepath.Base(path))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	return Parse(program, filepath.Base(path), f)
}

// openRegular opens a file for reading that cannot block.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return f, regular(f)
}

// regular closes f unless it is a regular file.
func regular(f *os.File) error {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.Name())
	}
	if err != nil {
		f.Close()
	}
	return err
}

// Parse reads the memory of a program from r. Name is that of the file,
// without its folder: getmail6 has the account in it and nowhere else. Errors
// are as for Read.
func Parse(program Program, name string, r io.Reader) ([]Account, error) {
	return newParser(program, name, r).parse()
}

func newParser(program Program, name string, r io.Reader) *parser {
	return &parser{program: program, name: name, lines: newLines(r), most: maxRecords, index: map[[2]string]int{}}
}

func (p *parser) parse() ([]Account, error) {
	read := map[Program]func(*parser) error{
		Fetchmail: readFetchmail, Getmail: readGetmail, Mpop: readMpop, Thunderbird: readThunderbird, Plain: readPlain,
	}[p.program]
	if read == nil {
		return nil, fmt.Errorf("%s: no program %q is known", pop3.Sanitize(p.name), p.program)
	}
	if err := read(p); err != nil {
		return nil, fmt.Errorf("%s: %w", pop3.Sanitize(p.name), err)
	}
	if p.damage != nil {
		return p.accounts, p.damage
	}
	return p.accounts, nil
}

// maxRecords bounds what is held in memory. The largest maildrops have a
// tenth of it.
const maxRecords = 4_000_000

// parser gathers the records of a file.
type parser struct {
	program  Program
	name     string
	lines    *lines
	accounts []Account
	index    map[[2]string]int // of accounts, by server and user
	records  int
	most     int // records
	damage   *DamagedError
}

// each calls f with every line. Whole is false for one at the end of the file
// that no line end follows: the program may have been stopped while it wrote.
func (p *parser) each(f func(line string, whole bool) error) error {
	for {
		line, whole, err := p.lines.next()
		switch {
		case err == io.EOF:
			return nil
		case err == errLongLine:
			p.bad("the line is longer than %d octets", maxLine)
			continue
		case err != nil:
			return err
		}
		if err := f(line, whole); err != nil {
			return err
		}
	}
}

// bad notes that the line just read, or what is missing at it, is no record.
func (p *parser) bad(format string, args ...any) {
	if p.damage == nil {
		p.damage = &DamagedError{Name: p.name, Line: p.lines.number, Reason: fmt.Sprintf(format, args...)}
	}
	p.damage.Count++
}

// account gives the account of that name, new or not.
func (p *parser) account(server, user string) *Account {
	key := [2]string{strings.ToLower(server), user}
	i, known := p.index[key]
	if !known {
		i = len(p.accounts)
		p.index[key] = i
		p.accounts = append(p.accounts, Account{Program: p.program, Server: strings.Clone(server), User: strings.Clone(user)})
	}
	return &p.accounts[i]
}

// add notes a message, unless the unique-id is none.
func (p *parser) add(a *Account, s Seen) error {
	switch p.records++; {
	case p.records > p.most:
		return fmt.Errorf("more than %d messages", p.most)
	case !pop3.ValidUID(s.UID):
		p.bad("%q is not a unique-id", pop3.Sanitize(s.UID))
		return nil
	}
	s.UID = strings.Clone(s.UID) // not the line
	a.Seen = append(a.Seen, s)
	return nil
}

// validName reports whether s may name a server or a user.
func validName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F })
}

// seconds reads a time in seconds since 1970.
func seconds(s string) (time.Time, bool) {
	const year10000 = 253402300800
	n, err := parseInt(s)
	if err != nil || n < 0 || n >= year10000 {
		return time.Time{}, false
	}
	if n == 0 {
		return time.Time{}, true
	}
	return time.Unix(n, 0).UTC(), true
}
