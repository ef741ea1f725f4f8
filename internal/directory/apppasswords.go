package directory

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/poplin-mail/poplin/maildrop"
)

// An app password is one that Poplin made for one device of a user, beside
// the user's own. The file has one a line:
//
//	user:id:label:{SSHA256}hash:created:view
//
// Lines that are empty or begin with "#" are passed over. created is a time
// in UTC as 20261124T034500Z, and view what Overrides.String writes, such as
// "read_only recent=30d". The hash is a quick one, which is enough: nobody
// guesses 100 bits. SCRAM does not work with app passwords, since a client
// names the user and not the device, and so a server with several passwords of
// a user does not know which keys to use.

// AppPassword is an app password without the password.
type AppPassword struct {
	User    string
	ID      string // random; the Device of the view
	Label   string // for people: which device it is of; a user has none twice
	Created time.Time
	View    Overrides

	line   int
	secret secret
}

const (
	maxLabel  = 64 // octets
	maxDevice = 64 // octets of an id: it becomes a key of maildrop.Notes
	timeForm  = "20060102T150405Z"
)

// appPasswords is the file as it was read at one time.
type appPasswords struct {
	byUser  map[string][]*AppPassword // by folded name, in the order of the file
	entries int
}

func newAppFile(path string, logger *slog.Logger) *watched[appPasswords] {
	w := &watched[appPasswords]{path: path, what: "app passwords file", may: true, logger: logger}
	w.parse = func(data []byte) (*appPasswords, error) { return parseAppPasswords(path, data) }
	return w
}

// appPassword gives the app password of a user that a login used, nil where it
// used none. Case, blanks and hyphens do not count: people type them as they
// like, and telephones begin with a capital.
func (d *Directory) appPassword(f *found, password string) *AppPassword {
	if d.apps == nil || len(password) > maxPassword {
		return nil
	}
	all := d.apps.current() // whoever it is, since looking takes time
	if f == nil || f.master {
		return nil
	}
	list := all.byUser[fold(f.user.Name)]
	if len(list) == 0 {
		return nil
	}
	password = plainApp(password)
	var used *AppPassword
	for _, app := range list {
		if app.secret.match(password) {
			used = app
		}
	}
	return used
}

func plainApp(password string) string {
	return strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(password))
}

// generateApp makes an app password of 100 bits in the form that is shown,
// four groups of five, and its stored form.
func generateApp() (shown, stored string) {
	password := Generate()
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	hash := sha256.Sum256(append([]byte(password), salt...))
	stored = "{SSHA256}" + base64.StdEncoding.EncodeToString(append(hash[:], salt...))
	return password[:5] + "-" + password[5:10] + "-" + password[10:15] + "-" + password[15:], stored
}

// parseAppPasswords reads a whole file. All lines that are wrong are in the
// error, each a *LineError, up to ten.
func parseAppPasswords(file string, data []byte) (*appPasswords, error) {
	t := &appPasswords{byUser: make(map[string][]*AppPassword)}
	var errs []error
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if _, ok := nameOf(string(line)); !ok {
			continue
		}
		app, err := parseApp(strings.TrimRight(string(line), "\r\n"))
		if err == nil {
			app.line = number
			err = t.add(app)
		}
		if err != nil {
			if len(errs) == 10 {
				errs = append(errs, errors.New("and perhaps more lines"))
				break
			}
			errs = append(errs, &LineError{File: file, Line: number, Err: err})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

func (t *appPasswords) add(app *AppPassword) error {
	key := fold(app.User)
	for _, other := range t.byUser[key] {
		if other.ID == app.ID || other.Label == app.Label {
			return fmt.Errorf("the user has an app password of that id or label on line %d already", other.line)
		}
	}
	t.byUser[key] = append(t.byUser[key], app)
	t.entries++
	return nil
}

// parseApp reads a line. Its errors quote nothing that may be a password.
func parseApp(line string) (*AppPassword, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("the line is longer than %d octets", maxLine)
	}
	fields := strings.Split(line, ":")
	if len(fields) != 6 {
		return nil, errors.New("a line is user:id:label:{SSHA256}hash:created:view")
	}
	app := &AppPassword{User: fields[0], ID: fields[1], Label: fields[2]}
	if err := errors.Join(CheckName(app.User), checkID(app.ID), CheckLabel(app.Label)); err != nil {
		return nil, err
	}
	var err error
	if app.secret, err = parseSecret(fields[3]); err != nil {
		return nil, err
	}
	if app.secret.locked() || app.secret.scheme != "SSHA256" {
		return nil, errors.New("app passwords are stored as {SSHA256}: `poplin user app-password add` makes them")
	}
	if app.Created, err = time.Parse(timeForm, fields[4]); err != nil {
		return nil, errors.New("the fifth field is no time such as 20261124T034500Z")
	}
	app.View, err = ParseOverrides(fields[5])
	return app, err
}

func checkID(id string) error {
	if id == "" || len(id) > maxDevice || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return errors.New("the id is not of letters a to z and digits")
	}
	return nil
}

// CheckLabel says what is wrong with the label of an app password, nil if
// nothing is.
func CheckLabel(label string) error {
	switch {
	case label == "" || strings.TrimSpace(label) != label:
		return errors.New("the label is empty, or begins or ends with a blank")
	case len(label) > maxLabel:
		return fmt.Errorf("the label is longer than %d octets", maxLabel)
	case !utf8.ValidString(label) || strings.Contains(label, ":") || strings.ContainsFunc(label, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("the label holds a colon or a control character, or is not UTF-8")
	}
	return nil
}

// Overrides are what an app password says of its view. What is nil is as the
// server's default has it.
type Overrides struct {
	ReadOnly *bool
	Keep     *bool
	Recent   *time.Duration
	Undo     *time.Duration
}

// over gives the view v with what o says.
func (o Overrides) over(v maildrop.View) maildrop.View {
	if o.ReadOnly != nil {
		v.ReadOnly = *o.ReadOnly
	}
	if o.Keep != nil {
		v.Keep = *o.Keep
	}
	if o.Recent != nil {
		v.Recent = *o.Recent
	}
	if o.Undo != nil {
		v.Undo = *o.Undo
	}
	return v
}

// String writes words with blanks between them: read_only or read_only=no,
// keep or keep=no, recent=30d, undo=14d.
func (o Overrides) String() string {
	var words []string
	for _, w := range []struct {
		name  string
		value *bool
	}{{"read_only", o.ReadOnly}, {"keep", o.Keep}} {
		if w.value != nil && *w.value {
			words = append(words, w.name)
		} else if w.value != nil {
			words = append(words, w.name+"=no")
		}
	}
	for _, w := range []struct {
		name  string
		value *time.Duration
	}{{"recent", o.Recent}, {"undo", o.Undo}} {
		if w.value != nil {
			words = append(words, w.name+"="+period(*w.value))
		}
	}
	return strings.Join(words, " ")
}

// ParseOverrides reads what String writes. A word that is not known is an
// error: it may be one that keeps something from a device.
func ParseOverrides(text string) (Overrides, error) {
	var o Overrides
	for _, word := range strings.Fields(text) {
		name, value, given := strings.Cut(word, "=")
		var err error
		switch name {
		case "read_only":
			o.ReadOnly, err = parseSwitch(value, given)
		case "keep":
			o.Keep, err = parseSwitch(value, given)
		case "recent":
			o.Recent, err = parsePeriod(value)
		case "undo":
			o.Undo, err = parsePeriod(value)
		default:
			err = errors.New("the view is of the words read_only, keep, recent=PERIOD and undo=PERIOD")
		}
		if err != nil {
			return Overrides{}, err
		}
	}
	return o, nil
}

func parseSwitch(value string, given bool) (*bool, error) {
	on := !given || value == "yes"
	if !on && value != "no" {
		return nil, errors.New("read_only and keep stand alone, or with =yes or =no")
	}
	return &on, nil
}

// maxPeriod is well below what a time.Duration holds, in days.
const maxPeriod = 36_500

func parsePeriod(text string) (*time.Duration, error) {
	wrong := errors.New("recent and undo are periods such as 30d or 12h")
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n > maxPeriod {
			return nil, wrong
		}
		p := time.Duration(n) * 24 * time.Hour
		return &p, nil
	}
	p, err := time.ParseDuration(text)
	if err != nil || p < 0 || p > maxPeriod*24*time.Hour {
		return nil, wrong
	}
	return &p, nil
}

func period(p time.Duration) string {
	if p%(24*time.Hour) == 0 {
		return strconv.Itoa(int(p/(24*time.Hour))) + "d"
	}
	return p.String()
}
