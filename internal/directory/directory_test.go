package directory

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// book is a source of a few users that counts what it is asked, as a database
// is one: nobody can look into it.
type book struct {
	users  map[string]User
	err    error
	asked  []string
	closed bool
}

func (b *book) Lookup(_ context.Context, l pop3server.Login) (*User, error) {
	b.asked = append(b.asked, l.Username)
	if l.Password != "" {
		return nil, errors.New("a look-up was given the password")
	}
	if u, ok := b.users[l.Username]; ok && b.err == nil {
		return &u, nil
	}
	return nil, b.err
}

func (b *book) Close() error { b.closed = true; return nil }

func refused(err error) bool { return errors.Is(err, pop3server.ErrBadCredentials) }

func TestNewRefuses(t *testing.T) {
	for want, opts := range map[string]Options{
		"no source of users":            {},
		`not "dn"`:                      {Sources: []Source{&book{}}, ClientName: "dn"},
		"master file: open /nowhere/at": {Sources: []Source{&book{}}, Master: "/nowhere/at"},
		"is not a file":                 {Sources: []Source{&book{}}, AppPasswords: "/"},
	} {
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestFirstSourceDecides: who is in two sources is checked by the first alone,
// and an error is never taken for "not here".
func TestFirstSourceDecides(t *testing.T) {
	first := source(t, "anna:{PLAIN}one\nlocked:!\n")
	second := &book{users: map[string]User{
		"anna":   {Name: "anna", Secret: "{PLAIN}two"},
		"locked": {Name: "locked", Secret: "{PLAIN}two"},
		"bert":   {Name: "Bert", Maildrop: "box7", Secret: "{PLAIN}two"},
	}}
	d := over(t, Options{}, first, second)
	for _, c := range []struct{ user, password, name, drop string }{
		{"anna", "one", "anna", "anna"}, {"anna", "two", "", ""}, {"locked", "two", "", ""},
		{"bert", "two", "Bert", "box7"}, {"bert", "one", "", ""}, {"carla", "two", "", ""},
	} {
		account, err := login(t, d, c.user, c.password)
		if account.Name != c.name || account.Maildrop != c.drop || refused(err) != (c.name == "") {
			t.Errorf("%s with %q: %+v, %v", c.user, c.password, account, err)
		}
	}
	broken := over(t, Options{}, &book{err: errors.New("no connection")}, first)
	for _, user := range []string{"anna", "nobody"} {
		if _, err := login(t, broken, user, "one"); err == nil || refused(err) || !strings.Contains(err.Error(), "no connection") {
			t.Errorf("%s, while the first source fails: %v", user, err)
		}
	}
	wrapped := over(t, Options{}, &book{err: pop3server.ErrBadCredentials})
	if _, err := login(t, wrapped, "anna", "x"); err == nil || refused(err) {
		t.Errorf("a source whose look-up says bad credentials: %v", err)
	}
}

func TestSourcesAreClosed(t *testing.T) {
	b := &book{}
	d, err := New(Options{Sources: []Source{b}})
	if err != nil || d.Close() != nil || !b.closed {
		t.Errorf("closed %v, error %v", b.closed, err)
	}
}

// TestWhatASourceSaysIsChecked: a name that cannot be one, or a hash that
// cannot be read, is a fault and lets nobody in.
func TestWhatASourceSaysIsChecked(t *testing.T) {
	d := over(t, Options{}, &book{users: map[string]User{
		"up":   {Name: "../up", Secret: "{PLAIN}x"},
		"hash": {Name: "hash", Secret: "hunter2"},
		"none": {Name: "none"},
		"lock": {Name: "lock", Secret: "!", Verify: func(context.Context, string) error { return nil }},
		"deny": {Name: "deny", Secret: "{PLAIN}x", Deny: errors.New("left the firm")},
	}})
	for _, user := range []string{"up", "hash"} {
		if _, err := login(t, d, user, "x"); err == nil || refused(err) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", user, err)
		}
	}
	for _, user := range []string{"none", "lock", "deny"} {
		if _, err := login(t, d, user, "x"); !refused(err) {
			t.Errorf("%s: %v", user, err)
		}
	}
	if _, err := login(t, d, "deny", "x"); !strings.Contains(err.Error(), "left the firm") {
		t.Errorf("the log is not told why: %v", err)
	}
}

// TestHostileNames covers "User names" of what hostile clients send: no source
// is asked for what cannot be a name, and what can be one is literal.
func TestHostileNames(t *testing.T) {
	b := &book{users: map[string]User{"%d": {Name: "percent", Secret: "{PLAIN}x"}}}
	d := over(t, Options{Master: newFile(t, "root:{PLAIN}x\n")}, b)
	for name, asked := range map[string]bool{
		"../x": false, "/etc/passwd": false, "a\x00b": false, "*)(uid=*": false, strings.Repeat("n", 64<<10): false,
		"a\u202eb": false, "\xff": false, "": false, "-rf": false, "~root": false, "../x*root": false, "%d": true, "{{.}}": true, "'; --": true,
	} {
		b.asked = nil
		account, err := login(t, d, name, "x")
		if (len(b.asked) > 0) != asked || asked && b.asked[0] != name {
			t.Errorf("%.20q: the source was asked for %.40q", name, b.asked)
		}
		if refused(err) == (name == "%d") {
			t.Errorf("%.20q: %v, %v", name, account, err)
		}
		if _, err := d.ActFor(t.Context(), by("PLAIN", "root", "x"), pop3server.Account{Name: "root"}, name); refused(err) == (name == "%d") {
			t.Errorf("acting for %.20q: %v", name, err)
		}
	}
}

// TestVerify: a source that checks passwords itself is given no empty one,
// and its errors are no refusals.
func TestVerify(t *testing.T) {
	down := errors.New("server down")
	var got []string
	verify := func(_ context.Context, password string) error {
		got = append(got, password)
		switch password {
		case "right", "-", "":
			return nil
		case "down":
			return down
		}
		return pop3server.ErrBadCredentials
	}
	d := over(t, Options{}, &book{users: map[string]User{"anna": {Name: "anna", Verify: verify}}})
	for password, want := range map[string]error{"right": nil, "wrong": pop3server.ErrBadCredentials, "down": down,
		"": pop3server.ErrBadCredentials, strings.Repeat("x", maxPassword+1): pop3server.ErrBadCredentials, "-": nil} {
		if _, err := login(t, d, "anna", password); !errors.Is(err, want) {
			t.Errorf("%.10q: %v, want %v", password, err, want)
		}
	}
	for _, p := range got {
		if p == "" || len(p) > maxPassword {
			t.Errorf("the source was asked for a password of %d octets", len(p))
		}
	}
}

func TestViews(t *testing.T) {
	own := maildrop.View{ReadOnly: true}
	b := &book{users: map[string]User{"own": {Name: "own", Secret: "{PLAIN}x", View: &own}, "anna": {Name: "anna", Secret: "{PLAIN}x"}}}
	for _, c := range []struct {
		user          string
		fallback, got maildrop.View
	}{
		{"anna", maildrop.View{}, maildrop.View{}},
		{"anna", maildrop.View{Undo: 5}, maildrop.View{Undo: 5}},
		{"anna", maildrop.View{Keep: true}, maildrop.View{Keep: true, Device: "main"}},
		{"anna", maildrop.View{Recent: 5}, maildrop.View{Recent: 5, Device: "main"}},
		{"own", maildrop.View{Keep: true}, own},
	} {
		d := over(t, Options{View: c.fallback}, b)
		if account, err := login(t, d, c.user, "x"); err != nil || account.View != c.got {
			t.Errorf("%s under %+v: %+v, %v", c.user, c.fallback, account.View, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	tcp := func(text string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(text), Port: 4711} }
	same := [][2]net.Addr{
		{tcp("192.0.2.1"), tcp("::ffff:192.0.2.1")}, {tcp("2001:db8::1"), tcp("2001:db8::ffff:0:0:2")},
		{nil, &net.UnixAddr{Name: "/x"}}, {tcp("192.0.2.1"), text("192.0.2.1:99")},
	}
	for _, pair := range same {
		if placeOf(pair[0]) != placeOf(pair[1]) {
			t.Errorf("%v and %v are two places", pair[0], pair[1])
		}
	}
	if placeOf(tcp("192.0.2.1")) == placeOf(tcp("192.0.2.2")) || placeOf(tcp("2001:db8::1")) == placeOf(tcp("2001:db8:0:1::1")) {
		t.Error("two places are one")
	}
}

// text is an address of which only the text is known.
type text string

func (a text) Network() string { return "tcp" }
func (a text) String() string  { return string(a) }
