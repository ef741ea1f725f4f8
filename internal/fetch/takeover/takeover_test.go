package takeover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var oddUIDs = []string{"#comment", "a/b", "<1@2>", `~!"$%&'()*+,-.:;=?[]^_` + "`{|}", "user@host", "7", strings.Repeat("x", 70)}

// plainUIDs are those of the maildrop on Poplin.
var plainUIDs = []string{
	"1790000001.M1.mx.example.org", "1790000002.M2.mx.example.org", "1790000003.M3.mx.example.org", "1790000004.M4.mx.example.org",
}

// What the programs have written is read whole, and told to be theirs.
func TestWritten(t *testing.T) {
	when := time.Unix(1795840726, 0).UTC()
	for _, test := range []struct {
		file, name string
		program    Program
		accounts   []string // server, port, user
		server     []string // the unique-ids on the server, all of them seen
		when       time.Time
	}{
		{"fetchids", "", Fetchmail, []string{
			"127.0.0.1 0 bela", "127.0.0.1 0 o'user@example.org", "127.0.0.1 0 two words", "localhost 0 bela",
		}, plainUIDs, time.Time{}},
		{"fetchids-odd", "", Fetchmail, []string{
			"127.0.0.1 0 bela", "127.0.0.1 0 o'user@example.org", "127.0.0.1 0 two words", "localhost 0 bela",
		}, oddUIDs, time.Time{}},
		{"uidls", "", Mpop, []string{"localhost 0 o'user@example.org", "127.0.0.1 0 bela"}, plainUIDs, time.Time{}},
		{"uidls-blank", "", Mpop, []string{"localhost 0 two words"}, plainUIDs, time.Time{}},
		{"uidls-odd", "", Mpop, []string{"127.0.0.1 0 bela"}, oddUIDs, time.Time{}},
		{"oldmail", "oldmail-127.0.0.1-21110-o'user@example.org", Getmail, []string{"127.0.0.1 21110 o'user@example.org"}, plainUIDs, when},
		{"oldmail-odd", "oldmail-127.0.0.1-21111-two words", Getmail, []string{"127.0.0.1 21111 two words"}, oddUIDs, when.Add(21 * time.Second)},
	} {
		t.Run(test.file, func(t *testing.T) {
			path := filepath.Join("testdata", test.file)
			if program, err := Detect(path); program != test.program || err != nil {
				t.Fatalf("detected as %q, %v", program, err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			accounts, err := Parse(test.program, test.name, strings.NewReader(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, a := range accounts {
				names = append(names, fmt.Sprint(a.Server, " ", a.Port, " ", a.User))
				if seen := uids(a.Match(test.server)); !slices.Equal(seen, test.server) || len(a.Seen) != len(seen) {
					t.Errorf("%s at %s: of the server's unique-ids %q are seen, of %d in the file", a.User, a.Server, seen, len(a.Seen))
				}
				for _, s := range a.Seen {
					if s.Size != 0 || s.Deleted || !s.When.Equal(test.when) {
						t.Errorf("%+v", s)
					}
				}
				if a.Program != test.program || a.Partial != 0 {
					t.Errorf("%+v", a)
				}
			}
			if !slices.Equal(names, test.accounts) {
				t.Errorf("accounts %q", names)
			}
		})
	}
}

func uids(seen []Seen) (all []string) {
	for _, s := range seen {
		all = append(all, s.UID)
	}
	return all
}

func TestThunderbird(t *testing.T) {
	for file, want := range map[string]string{
		"popstate.dat": `pop.example.org bela@example.org 2 in part
1790000001.M1.mx.example.org 1795840726 false
1790000002.M2.mx.example.org 1795840727 true
#comment 1795840730 false
`,
		"popstate-2012.dat": `pop.example.org two words 0 in part
1790000001.M1.mx.example.org 1355840726 false
mail.example.com ada 0 in part
<1@2> 1355840727 true
a/b 1355840728 false
`,
		"popstate-netscape.dat": `pop.example.org bela 0 in part
1790000001.M1.mx.example.org - false
<1@2> - true
`,
	} {
		accounts, err := Read(filepath.Join("testdata", file))
		if got := show(accounts); err != nil || got != want {
			t.Errorf("%s: %v\n%s", file, err, got)
		}
	}
}

// show prints what was read.
func show(accounts []Account) string {
	var b strings.Builder
	for _, a := range accounts {
		fmt.Fprintln(&b, a.Server, a.User, a.Partial, "in part")
		for _, s := range a.Seen {
			when := "-"
			if !s.When.IsZero() {
				when = fmt.Sprint(s.When.Unix())
			}
			fmt.Fprintln(&b, s.UID, when, s.Deleted)
		}
	}
	return b.String()
}

// Damage is named with its line, what is whole is read, and half a record is
// never taken for one.
func TestDamage(t *testing.T) {
	const long = 3000
	for _, test := range []struct {
		program    Program
		text       string
		line       int
		count      int
		reason     string
		seen       string
		whatItMean string
	}{
		{Fetchmail, "bela@mx 1\nbela@mx 2\nbela@mx 3", 3, 1, "no end", "1 2", "cut in or behind the unique-id"},
		{Fetchmail, "bela@mx 1\nbela@m", 2, 1, "no end", "1", "cut in the host"},
		{Fetchmail, "bela@mx 1\n\x00\x00\x00\x00\nbela@mx 3\n", 2, 1, "user@server uid", "1 3", "a hole in the file"},
		{Fetchmail, "bela@mx 1\nbela@mx 2 3\n@mx 4\nbela@ 5\nbela 6\nbela@mx \nbela@mx 7\n", 2, 5, "user@server uid", "1 7", "fields too many or missing"},
		{Fetchmail, "bela@mx \xff\nbela@mx 2\n", 1, 1, "not a unique-id", "2", "an octet that no unique-id has"},
		{Fetchmail, "bela@mx " + strings.Repeat("x", 71) + "\nbela@mx 2\n", 1, 1, "not a unique-id", "2", "71 octets"},
		{Fetchmail, "bela@mx 1\nbela@mx " + strings.Repeat("x", long) + "\nbela@mx 3\n", 2, 1, "longer than 2048", "1 3", "a line too long"},
		{Fetchmail, "bela@mx 1\nbela@mx " + strings.Repeat("x", long), 2, 1, "longer than 2048", "1", "a line too long at the end"},
		{Fetchmail, "be\x1bla@mx 1\n", 1, 1, "user@server uid", "", "an escape in the user"},
		{Getmail, "1\x005\n2\x0055", 2, 1, "no end", "1", "cut in the time"},
		{Getmail, "1\x005\n2\n3\x00x\n4\x00-1\n5\x00999999999999999\n6\x00\n7\x007\n", 2, 5, "NUL and a time", "1 7", "no time"},
		{Mpop, " 3 mx bela\n1\n2\n", 3, 1, "1 unique-ids are missing", "1 2", "cut at a line"},
		{Mpop, " 3 mx bela\n1\n2\n3", 4, 2, "no end", "1 2", "cut in a line"},
		{Mpop, " 2 mx bela\n1\n 1 mx ada\n2\n", 3, 1, "1 unique-ids less", "1 2", "a line is missing"},
		{Mpop, "1\n 1 mx bela\n2\n3\n", 1, 2, "no list", "2", "lines too many"},
		{Mpop, " 0 mx bela\n1\n x mx bela\n2\n 1 mx\n3\n -1 mx bela\n4\n 1  bela\n5\n 1 mx ada\n6\n", 1, 10, "count server user", "6", "heads that are none"},
		{Mpop, " 1 mx bela\n#1\n# 2\n", 3, 1, "no list", "#1", "no comment behind the start"},
		{Mpop, " 1 mx bela\n1 2\n", 2, 1, "not a unique-id", "", "a blank in it"},
		{Thunderbird, "*mx bela\nk 1 5\nk 2", 3, 1, "status uid seconds", "1", "cut in the unique-id"},
		{Thunderbird, "*mx bela\nk 1 5\nk 2 ", 3, 1, "status uid seconds", "1", "cut behind the unique-id"},
		{Thunderbird, "*mx bela\nk 1 5\n*mx ad", 3, 1, "*server user", "1", "cut in the user"},
		{Thunderbird, "k 1 5\n*mx bela\nx 2 5\nk 3 y\nk\nk 4 5 6\nk 5\n", 1, 5, "no account", "5", "other lines"},
		{Thunderbird, "*mx bela\nk 1 5\n*mx\nk 2 5\n", 3, 2, "*server user", "1", "no user: the messages are nobody's"},
		{Plain, "1\n2", 2, 1, "no end", "1", "cut"},
		{Plain, "1\r\n\r\n 2 \r\n3 4\r\n", 4, 1, "not a unique-id", "1 2", "two fields"},
	} {
		accounts, err := Parse(test.program, "name", strings.NewReader(test.text))
		var damaged *DamagedError
		if !errors.As(err, &damaged) {
			t.Errorf("%s, %s: error %v", test.program, test.whatItMean, err)
			continue
		}
		if damaged.Line != test.line || damaged.Count != test.count || !strings.Contains(damaged.Reason, test.reason) {
			t.Errorf("%s, %s: line %d, %d in all: %s", test.program, test.whatItMean, damaged.Line, damaged.Count, damaged.Reason)
		}
		if !strings.HasPrefix(err.Error(), fmt.Sprintf("name: line %d: ", test.line)) {
			t.Errorf("%s, %s: %q", test.program, test.whatItMean, err)
		}
		var seen []string
		for _, a := range accounts {
			seen = append(seen, uids(a.Seen)...)
		}
		if got := strings.Join(seen, " "); got != test.seen {
			t.Errorf("%s, %s: seen %q, want %q", test.program, test.whatItMean, got, test.seen)
		}
	}
}

// A Thunderbird of today writes no last line end. Where the time is cut the
// unique-id is whole, and the time is not believed.
func TestThunderbirdCutTime(t *testing.T) {
	for text, want := range map[string]string{
		"*mx bela\nk 1 1795840726": "mx bela 0 in part\n1 1795840726 false\n",
		"*mx bela\nk 1 179584":     "mx bela 0 in part\n1 - false\n",
	} {
		accounts, err := Parse(Thunderbird, "popstate.dat", strings.NewReader(text))
		if got := show(accounts); err != nil || got != want {
			t.Errorf("%q: %v\n%s", text, err, got)
		}
	}
}

func TestDamagedErrorCounts(t *testing.T) {
	for count, want := range map[int]string{
		1: "a?b: line 7: why", 2: "a?b: line 7: why (and one more line)", 5: "a?b: line 7: why (and 4 more lines)",
	} {
		if got := (&DamagedError{"a\x1bb", 7, "why", count}).Error(); got != want {
			t.Errorf("%q", got)
		}
	}
}

// Neither a line nor a file without end is read into memory.
func TestEndless(t *testing.T) {
	r := &endless{text: "x"}
	accounts, err := Parse(Fetchmail, "ids", r)
	if err == nil || accounts != nil || r.read > maxFile+1<<20 {
		t.Errorf("a line without end: %d accounts, %v, after %d octets", len(accounts), err, r.read)
	}
	r = &endless{text: "a@b c\n"}
	p := newParser(Fetchmail, "ids", r)
	p.most = 1000
	accounts, err = p.parse()
	if err == nil || accounts != nil || r.read > 6*1000+1<<16 {
		t.Errorf("a file without end: %d accounts, %v, after %d octets", len(accounts), err, r.read)
	}
	p = newParser(Fetchmail, "ids", strings.NewReader(strings.Repeat("a@b c\n", 1000)))
	p.most = 1000
	if _, err := p.parse(); err != nil {
		t.Errorf("as many as allowed: %v", err)
	}
}

type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for len(p)-n >= len(e.text) {
		n += copy(p[n:], e.text)
		if n >= 1024 && len(e.text) < 1024 {
			e.text = string(p[:n])
		}
	}
	if n == 0 {
		n = copy(p, e.text)
	}
	e.read += n
	return n, nil
}

// An error of the file is no end of it.
func TestReadError(t *testing.T) {
	broken := errors.New("broken disk")
	for program := range map[Program]bool{Fetchmail: true, Getmail: true, Mpop: true, Thunderbird: true, Plain: true} {
		accounts, err := Parse(program, "name", &failing{text: "*mx bela\n", err: broken})
		if !errors.Is(err, broken) || accounts != nil {
			t.Errorf("%s: %v, %v", program, accounts, err)
		}
	}
	if _, err := Parse("outlook", "name", strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "outlook") {
		t.Errorf("unknown program: %v", err)
	}
}

type failing struct {
	text string
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	n := copy(p, f.text)
	f.text = f.text[n:]
	if n == 0 {
		return 0, f.err
	}
	return n, nil
}

func TestOldmailNames(t *testing.T) {
	for name, want := range map[string]string{
		"oldmail-pop.example.org-110-bela":           "pop.example.org 110 bela true",
		"oldmail-pop-3.example.org-995-b-e-l-a":      "pop-3.example.org 995 b-e-l-a true",
		"oldmail-mx-25-a.example-995-bela":           "mx-25-a.example 995 bela true",
		"oldmail-mx.example-1995-bela-110-x":         "mx.example-1995-bela 110 x true", // a guess, and a wrong one
		"oldmail-mx.example-1110-bela@x":             "mx.example 1110 bela@x true",
		"oldmail--1-110-bela":                        "-1 110 bela true", // was ::1
		"oldmail-mx.example-0-bela":                  " 0  false",
		"oldmail-mx.example-70000-bela":              " 0  false",
		"oldmail-mx.example-110-":                    "mx.example 110  false",
		"mx.example-110-bela":                        " 0  false",
		"oldmail-imap.example.org-993-bela-INBOX":    "imap.example.org 993 bela-INBOX true",
		"oldmail-pop.example.org-110-a-b.example-:;": "pop.example.org 110 a-b.example-:; true",
	} {
		server, port, user, ok := parseOldmail(name)
		if got := fmt.Sprint(server, " ", port, " ", user, " ", ok); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, err := Parse(Getmail, "oldmail-imap.example.org-993-bela-INBOX", strings.NewReader("1/2\x003\n")); !errors.Is(err, errIMAP) {
		t.Errorf("IMAP: %v", err)
	}
	accounts, err := Parse(Getmail, "oldmail-mx.example-110-", strings.NewReader("1\x003\n"))
	if err != nil || len(accounts) != 1 || accounts[0].Server != "" || accounts[0].Port != 0 || accounts[0].User != "" {
		t.Errorf("a name that says nothing: %+v, %v", accounts, err)
	}
}

func TestFor(t *testing.T) {
	getmail, err := Parse(Getmail, "oldmail-mx-110-x-995-a-b", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		a      Account
		server string
		port   int
		user   string
		want   bool
	}{
		{Account{Program: Fetchmail, Server: "MX", User: "Bela"}, "mx", 995, "bela", true},
		{Account{Program: Fetchmail, Server: "mx", User: "bela"}, "mx2", 995, "bela", false},
		{Account{Program: Mpop, Server: "MX", User: "bela"}, "mx", 995, "bela", true},
		{Account{Program: Mpop, Server: "mx", User: "Bela"}, "mx", 995, "bela", false},
		{Account{Program: Thunderbird, Server: "mx", User: "bela"}, "mx", 110, "bela", true},
		{Account{Program: Plain}, "mx", 110, "bela", true},
		{getmail[0], "mx-110-x", 995, "a/b", true}, // whatever was guessed
		{getmail[0], "mx", 110, `x-995-a|\/b`, true},
		{getmail[0], "mx", 995, "a-b", false},
	} {
		if got := test.a.For(test.server, test.port, test.user); got != test.want {
			t.Errorf("%s %s %s: %s %d %s: %v", test.a.Program, test.a.Server, test.a.User, test.server, test.port, test.user, got)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		program      Program
		seen, server string
		want         string
	}{
		{Mpop, "1 2 3", "2 4 3", "2 3"},
		{Mpop, "1 1 2", "1 1 1", "1 1"},       // a multiset
		{Mpop, "1", "1 1", "1"},               // one of the two
		{Mpop, "a-b", "a/b", ""},              // as they are
		{Getmail, "a-b c", "a/b c", "a/b c"},  // getmail6's form
		{Getmail, "a-b c", "a/b a-b c", "c"},  // either
		{Getmail, "a-b c", "a-b a/b a-b", ""}, // either, in every order
	} {
		a := Account{Program: test.program}
		for uid := range strings.FieldsSeq(test.seen) {
			a.Seen = append(a.Seen, Seen{UID: uid, Size: 7})
		}
		seen := a.Match(strings.Fields(test.server))
		if got := strings.Join(uids(seen), " "); got != test.want {
			t.Errorf("%s has %s, the server %s: %s", test.program, test.seen, test.server, got)
		}
		for _, s := range seen {
			if s.Size != 7 {
				t.Errorf("%+v", s)
			}
		}
	}
}
