package directory

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/poplin-mail/poplin/sasl"
)

const (
	maxLine = 16 << 10 // octets of one line
	maxName = 200      // octets of a name: it becomes part of a file name
)

// entry is a line with a user.
type entry struct {
	name    string // as the file spells it
	line    int
	secret  secret
	noLogin bool
	limited bool           // only from nets
	nets    []netip.Prefix // of allow_nets
	keeping Keeping
}

// mayComeFrom reports whether allow_nets has the address.
func (e *entry) mayComeFrom(addr net.Addr) bool {
	if !e.limited {
		return true
	}
	from := addrOf(addr)
	for _, n := range e.nets {
		if n.Contains(from) {
			return true
		}
	}
	return false
}

// table is the file as it was read at one time.
type table struct {
	entries []entry
	byName  map[string]int    // by folded name
	secrets []*secret         // of the entries whose password is not locked
	keyed   map[sasl.Hash]int // how many of secrets SCRAM can be done with
}

// fold gives the form in which names are compared.
func fold(name string) string { return strings.ToLower(name) }

// find gives the entry of a user, or nil.
func (t *table) find(name string) *entry {
	if i, ok := t.byName[fold(name)]; ok {
		return &t.entries[i]
	}
	return nil
}

// LineError is a line of a passwd-file that cannot be read. Its text holds no
// part of a password.
type LineError struct {
	File string
	Line int
	Err  error
}

// Error gives "file:line: what is wrong".
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap gives what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// parseTable reads a whole passwd-file. All lines that are wrong are in the
// error, each a *LineError, up to ten.
func parseTable(file string, data []byte) (*table, error) {
	t := &table{byName: make(map[string]int), keyed: make(map[sasl.Hash]int)}
	var errs []error
	number := 0
	for line := range bytes.Lines(data) {
		number++
		e, ok, err := parseLine(string(line))
		if err == nil && ok {
			e.line = number
			err = t.add(e)
		}
		if err != nil {
			if len(errs) == 10 {
				errs = append(errs, errors.New("and perhaps more lines"))
				break
			}
			errs = append(errs, &LineError{File: filepath.Clean(file), Line: number, Err: err})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for i := range t.entries {
		s := &t.entries[i].secret
		if s.locked() {
			continue
		}
		t.secrets = append(t.secrets, s)
		for _, hash := range []sasl.Hash{sasl.SHA1, sasl.SHA256} {
			if s.scram(hash) {
				t.keyed[hash]++
			}
		}
	}
	return t, nil
}

func (t *table) add(e entry) error {
	key := fold(e.name)
	if i, twice := t.byName[key]; twice {
		return fmt.Errorf("the user is on line %d already (names are compared without regard to case)", t.entries[i].line)
	}
	t.byName[key] = len(t.entries)
	t.entries = append(t.entries, e)
	return nil
}

// nameOf gives the name on a line, and false where it holds no user.
func nameOf(line string) (string, bool) {
	line = strings.TrimRight(line, "\r\n")
	if strings.TrimSpace(line) == "" || line[0] == '#' {
		return "", false
	}
	name, _, _ := strings.Cut(line, ":")
	return name, true
}

// parseLine reads one line; ok is false where it holds no user. Its errors
// quote nothing of the line: what stands in the wrong place may be a password.
func parseLine(line string) (e entry, ok bool, err error) {
	name, ok := nameOf(line)
	if !ok {
		return entry{}, false, nil
	}
	line = strings.TrimRight(line, "\r\n")
	if len(line) > maxLine {
		return entry{}, false, fmt.Errorf("the line is longer than %d octets", maxLine)
	}
	fields := strings.SplitN(line, ":", 8)
	if len(fields) < 2 {
		return entry{}, false, errors.New("there is no colon: a line is name:{SCHEME}hash, or begins with # where it is a comment")
	}
	if err := CheckName(name); err != nil {
		return entry{}, false, err
	}
	e = entry{name: name}
	if e.secret, err = parseSecret(fields[1]); err != nil {
		return entry{}, false, err
	}
	if len(fields) == 8 {
		err = e.parseExtra(fields[7])
	}
	return e, err == nil, err
}

// parseExtra reads the extra fields that keep somebody out, and those that
// bound what is kept. In a list of networks "local" stands for connections without an address, and there are
// none of those.
func (e *entry) parseExtra(text string) error {
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		name = strings.ToLower(name)
		if err := e.parseKeeping(name, value); err != nil {
			return err
		}
		switch name {
		case "nologin":
			e.noLogin = true
		case "allow_nets", "allow_real_nets":
			e.limited = true
			for _, text := range strings.Split(value, ",") {
				if text == "local" {
					continue
				}
				prefix, err := parseNet(text)
				if err != nil {
					return err
				}
				e.nets = append(e.nets, prefix)
			}
		}
	}
	return nil
}

func parseNet(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errors.New("allow_nets is not a list of networks such as 192.0.2.0/24,2001:db8::/32")
	}
	return prefix.Masked(), nil
}

// CheckName says what is wrong with a user's name, nil if nothing is. Names
// become parts of paths and of log lines, so some characters are not allowed.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the user has no name")
	case len(name) > maxName:
		return fmt.Errorf("the user's name is longer than %d octets", maxName)
	case !utf8.ValidString(name):
		return errors.New("the user's name is not UTF-8")
	case name[0] == '.' || name[0] == '-' || name[0] == '#' || name[0] == '~':
		return fmt.Errorf("the user's name begins with %q", name[0])
	case strings.ContainsAny(name, `/\:*?"<>|`):
		return errors.New(`the user's name holds one of / \ : * ? " < > |`)
	case strings.TrimSpace(name) != name:
		return errors.New("the user's name begins or ends with a blank")
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return errors.New("the user's name holds a control character")
		}
	}
	return nil
}
