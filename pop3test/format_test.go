package pop3test

import (
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		``:                     "",
		`plain text)`:          "plain text)",
		`\r\n\t\0\\`:           "\r\n\t\x00\\",
		`\x00\xff\x41`:         "\x00\xffA",
		`\*3(ab)c`:             "abababc",
		`\*2(\*2(x\))\n)`:      "x)x)\nx)x)\n",
		`\*0(never)`:           "",
		`\*5()`:                "",
		`a\*1(` + "\xff" + `)`: "a\xff",
	} {
		got, err := unescape(in)
		if err != nil || string(got) != want {
			t.Errorf("unescape(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		`\`, `\q`, `\x`, `\x4`, `\xzz`, `\*`, `\*3`, `\*3(`, `\*3(a`, `\*(a)`, `\*-1(a)`, `\*99999999999(a)`,
		`\*17000000(a)`, `\*5000(\*5000(a))`, `\*2(\q)`, `\*16000000(a)\*16000000(b)`,
	} {
		if got, err := unescape(in); err == nil {
			t.Errorf("unescape(%q) = %d octets, want an error", in, len(got))
		}
	}
}

func archive(transcript string) string {
	return "-- options --\ninsecure_auth\n-- maildrop/1.eml --\nx\n-- transcript/a --\n# about\n" + transcript
}

func TestParse(t *testing.T) {
	cases, err := Parse("name", []byte(`title
-- options --
insecure_auth
apop
stls
implicit_tls
only server
only client

user a\x20b c\x20d
-- maildrop/2.raw --
a\r
\n
-- maildrop/1.eml --
line
-- later/3.eml --
late
-- transcript/one --
# first line
# second line
! greeting
# not of it
C: A
C| B\n
S: -ERR ...
S= ...
-- transcript/two --
# another
! quit
`))
	if err != nil {
		t.Fatal(err)
	}
	c := cases[0]
	o := c.Options
	if len(cases) != 2 || c.Name != "name/one" || c.About != "first line second line" || cases[1].Name != "name/two" {
		t.Errorf("got %d cases, %q: %q", len(cases), c.Name, c.About)
	}
	if !o.InsecureAuth || !o.APOP || !o.STLS || !o.ImplicitTLS || !o.ServerOnly || !o.ClientOnly || o.Users["a b"] != "c d" {
		t.Errorf("options %+v", o)
	}
	if len(c.Messages) != 2 || string(c.Messages[0]) != "line\n" || string(c.Messages[1]) != "a\r\n" || string(c.Later[0]) != "late\n" {
		t.Errorf("messages %q, later %q", c.Messages, c.Later)
	}
	var got []string
	for _, st := range c.Script.steps {
		got = append(got, st.String())
	}
	if want := "S: +OK ...{timestamp}...|C: A|C| B\\n|S: -ERR ...|S= ..."; strings.Join(got, "|") != want {
		t.Errorf("steps %q, want %q", strings.Join(got, "|"), want)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"-- --":                       "no name",
		"":                            "no transcript",
		"-- else --\n":                "neither options",
		"-- options --\nquick\n":      "unknown option",
		"-- options --\nuser a\n":     "unknown option",
		"-- options --\nuser \\q b\n": "unknown escape",
		"-- options --\nuser b \\q\n": "unknown escape",
		"-- maildrop/x.eml --\n":      "invalid syntax",
		"-- maildrop/1.txt --\n":      "neither in .eml",
		"-- maildrop/1.raw --\n\\q\n": "unknown escape",
		"-- maildrop/2.eml --\n":      "message 1 is missing",
		"-- later/2.eml --\n":         "message 1 is missing",
		"-- maildrop/1.eml --\n-- maildrop/1.raw --\n": "twice",
		"-- transcript/a --\nC: A\n":                   "comment",
		archive("X: A\n"):                              "no line",
		archive("C\n"):                                 "no line",
		archive("C: \\q\n"):                            "unknown escape",
		archive("S: +OK \\q ...\n"):                    "unknown escape",
		archive("S: {apop:x}\n"):                       "cannot stand",
		archive("C: {uid:1}\n"):                        "cannot stand",
		archive("S+ \n"):                               "no word",
		archive("S+ A\n"):                              "does not end",
		archive("S+ A\nS: B\n"):                        "does not end",
		archive("S- A\nC: .\n"):                        "does not end",
		archive("! dance\n"):                           "unknown directive",
		archive("! fault\n"):                           "unknown directive",
		archive("! session\n"):                         "takes 1 to 1",
		archive("! repair 1\n"):                        "takes 0 to 0",
		archive("! wait long\n"):                       "invalid duration",
		archive("! left -1\n"):                         "no number",
		archive("! left x\n"):                          "no number",
		archive("! never \\q\n"):                       "unknown escape",
		archive("! fault open slowly\n"):               "unknown fault",
		archive("! fault read 1 x\n"):                  "no number",
		archive("! error oops\n"):                      "unknown error",
	} {
		_, err := Parse("name", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(fstest.MapFS{"a.txt": {}}); err == nil || !strings.Contains(err.Error(), "no file") {
		t.Errorf("folder without transcripts: %v", err)
	}
	if _, err := Load(fstest.MapFS{"a.txtar": {Data: []byte("x")}}); err == nil || !strings.Contains(err.Error(), "a.txtar: ") {
		t.Errorf("archive without transcripts: %v", err)
	}
	if _, err := Load(fstest.MapFS{"a.txtar/b": {}}); err == nil {
		t.Error("a folder for an archive: no error")
	}
}

// TestEveryTranscript checks the collection itself: every one says what it is
// about with an RFC or a trap, and there is one for every verb on both sides.
func TestEveryTranscript(t *testing.T) {
	cases, err := Load(transcripts)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 200 {
		t.Errorf("only %d transcripts", len(cases))
	}
	server, client, names := map[string]int{}, map[string]int{}, map[string]bool{}
	for _, c := range cases {
		if !regexp.MustCompile(`RFC [0-9]+|Trap|[Dd]ecided`).MatchString(c.About) || names[c.Name] {
			t.Errorf("%s: does not say where %q comes from, or stands twice", c.Name, c.About)
		}
		names[c.Name] = true
		_, isClient := c.Script.calls()
		for _, st := range c.Script.steps {
			verb, _, _ := strings.Cut(st.text, " ")
			if st.side == 'C' && !c.Options.ClientOnly {
				server[verb]++
			}
			if st.side == 'C' && isClient {
				client[verb]++
			}
		}
	}
	for verb := range canonical {
		if server[verb] < 2 || client[verb] < 1 {
			t.Errorf("%s: stands %d times for servers and %d times for clients", verb, server[verb], client[verb])
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(archive("! login\nC: STAT\nS: +OK 1 3\n! quit\n! left 1\n")))
	f.Add([]byte(archive("C| \\*3(A\\x00)\nS+ A B\nS- C\nS: .\nS: -ERR [AUTH] {any:x}\n! fault read 1 2\n")))
	f.Add([]byte("-- maildrop/1.raw --\n\\*2(\\*2(x))\n-- transcript/a --\n# x\nS: 1 {uid:1}\n"))
	f.Add([]byte("-- --"))
	f.Add([]byte("-- options --\nuser a b\n-- transcript/a --\n#\n! never x\n! wait 1s\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), `\*`) && len(data) > 1000 {
			return // repeated repetitions take their time
		}
		cases, err := Parse("fuzz", data)
		if err != nil {
			return
		}
		for _, c := range cases {
			n := &names{texts: map[string]string{}}
			for _, st := range c.Script.steps {
				if st.side == '!' {
					continue
				}
				// What is sent for a line must match the line.
				line := n.render(st)
				if st.kind == ':' && !strings.Contains(st.text, "{any:") && len(line) < 512 {
					if err := n.match(st, line[:len(line)-2]); err != nil {
						t.Errorf("%s does not match %q: %v", st, line, err)
					}
				}
			}
			c.Script.calls()
		}
	})
}
