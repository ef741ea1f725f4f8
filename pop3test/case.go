package pop3test

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// The account that owns the maildrop of every transcript.
const (
	DefaultUser     = "user"
	DefaultPassword = "password"
)

// Case is one transcript with the maildrop it is about.
type Case struct {
	Name     string   // archive and transcript, "retr/dots"
	About    string   // the comment it begins with: what must hold, and where that stands
	Options  Options  // what the server is to offer
	Messages [][]byte // the maildrop at the beginning, as it is stored
	Later    [][]byte // what "! deliver" brings in, numbered on
	Script   *Script
}

// Options says what the server of a transcript is to offer.
type Options struct {
	InsecureAuth bool              // passwords are taken in clear text
	APOP         bool              // APOP is offered
	STLS         bool              // STLS is offered
	ImplicitTLS  bool              // connections begin in TLS
	Users        map[string]string // passwords by name
	ServerOnly   bool              // the transcript is not for clients
	ClientOnly   bool              // the transcript is not for servers
}

// Load reads the transcripts of all files *.txtar in a folder.
func Load(fsys fs.FS) ([]*Case, error) {
	names, err := fs.Glob(fsys, "*.txtar")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no file *.txtar")
	}
	var all []*Case
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		cases, err := Parse(strings.TrimSuffix(name, ".txtar"), data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, cases...)
	}
	return all, nil
}

// Parse reads the transcripts of one archive. Name is what the names of its
// cases begin with.
func Parse(name string, data []byte) ([]*Case, error) {
	for line := range strings.Lines(string(data)) {
		if strings.TrimRight(line, "\r\n") == "-- --" { // txtar's reader cannot bear it
			return nil, errors.New("a file of the archive has no name")
		}
	}
	archive := txtar.Parse(data)
	opts := Options{Users: map[string]string{DefaultUser: DefaultPassword}}
	now, later := map[int][]byte{}, map[int][]byte{}
	var scripts []txtar.File
	for _, f := range archive.Files {
		var err error
		switch dir := path.Dir(f.Name); {
		case f.Name == "options":
			err = opts.parse(string(f.Data))
		case dir == "maildrop":
			err = addMessage(now, f)
		case dir == "later":
			err = addMessage(later, f)
		case dir == "transcript":
			scripts = append(scripts, f)
		default:
			err = errors.New("neither options, maildrop/, later/ nor transcript/")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	messages, err := inOrder(now, 1)
	if err != nil {
		return nil, fmt.Errorf("maildrop/: %w", err)
	}
	arriving, err := inOrder(later, 1+len(messages))
	if err != nil {
		return nil, fmt.Errorf("later/: %w", err)
	}
	if len(scripts) == 0 {
		return nil, errors.New("no transcript/")
	}
	var cases []*Case
	for _, f := range scripts {
		c := &Case{Name: name + "/" + path.Base(f.Name), Options: opts, Messages: messages, Later: arriving}
		if c.Script, err = ParseScript(string(f.Data), opts.APOP); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if c.About = c.Script.About; c.About == "" {
			return nil, fmt.Errorf("%s: does not begin with a comment that says what must hold", f.Name)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func addMessage(messages map[int][]byte, f txtar.File) error {
	base, ext, _ := strings.Cut(path.Base(f.Name), ".")
	n, err := strconv.Atoi(base)
	if err != nil {
		return err
	}
	data := f.Data
	switch ext {
	case "eml":
	case "raw":
		if data, err = unescape(strings.ReplaceAll(string(data), "\n", "")); err != nil {
			return err
		}
	default:
		return errors.New("name ends neither in .eml nor in .raw")
	}
	if _, twice := messages[n]; twice {
		return errors.New("number stands twice")
	}
	messages[n] = data
	return nil
}

// inOrder gives the messages by number; they must count on from first.
func inOrder(messages map[int][]byte, first int) ([][]byte, error) {
	var numbers []int
	for n := range messages {
		numbers = append(numbers, n)
	}
	sort.Ints(numbers)
	var list [][]byte
	for i, n := range numbers {
		if n != first+i {
			return nil, fmt.Errorf("message %d is missing", first+i)
		}
		list = append(list, messages[n])
	}
	return list, nil
}

func (o *Options) parse(text string) error {
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); line {
		case "":
		case "insecure_auth":
			o.InsecureAuth = true
		case "apop":
			o.APOP = true
		case "stls":
			o.STLS = true
		case "implicit_tls":
			o.ImplicitTLS = true
		case "only server":
			o.ServerOnly = true
		case "only client":
			o.ClientOnly = true
		default:
			fields := strings.Split(line, " ")
			if len(fields) != 3 || fields[0] != "user" {
				return fmt.Errorf("unknown option %q", line)
			}
			name, err := unescape(fields[1])
			if err != nil {
				return err
			}
			password, err := unescape(fields[2])
			if err != nil {
				return err
			}
			o.Users[string(name)] = string(password)
		}
	}
	return nil
}
