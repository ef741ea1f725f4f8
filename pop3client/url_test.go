package pop3client

import (
	"strings"
	"testing"
)

// RFC 2384 section 7 and what it allows.
func TestParseURL(t *testing.T) {
	for _, test := range []struct {
		in   string
		want URL
		out  string
	}{
		{"pop://rg@mailsrv.qualcomm.com", URL{"rg", "", "mailsrv.qualcomm.com", 110}, ""},
		{"pop://rg;AUTH=+APOP@mail.eudora.com:8110", URL{"rg", "+APOP", "mail.eudora.com", 8110}, ""},
		{"pop://baz;AUTH=SCRAM-MD5@foo.bar", URL{"baz", "SCRAM-MD5", "foo.bar", 110}, ""},
		{"POP://a%40b%3Bc;auth=*@h/", URL{"a@b;c", "*", "h", 110}, "pop://a%40b%3Bc;AUTH=*@h"},
		{"pop://host", URL{"", "", "host", 110}, ""},
		{"pop://u@[::1]:995", URL{"u", "", "::1", 995}, ""},
		{"pop://u@[::1]", URL{"u", "", "::1", 110}, ""},
	} {
		got, err := ParseURL(test.in)
		if err != nil || got != test.want {
			t.Errorf("ParseURL(%q) gives %+v, %v, want %+v", test.in, got, err, test.want)
		}
		if test.out == "" {
			test.out = test.in
		}
		if got.String() != test.out {
			t.Errorf("String of %q gives %q", test.in, got.String())
		}
	}
	if got := (URL{Host: "::1", Port: 110}).Addr(); got != "[::1]:110" {
		t.Errorf("Addr gives %q", got)
	}
}

func TestParseURLRefuses(t *testing.T) {
	for in, reason := range map[string]string{
		"":                          "does not begin with pop://",
		"http://h":                  "does not begin with pop://",
		"pop://h/path":              "something follows",
		"pop://h?q":                 "something follows",
		"pop://u:sesame@h":          "holds a password",
		"pop://u;AUTH=PLAIN:sesa@h": "holds a password",
		"pop://u;X=1@h":             "not followed by AUTH=",
		"pop://u;AUTH=@h":           "is empty",
		"pop://@h":                  "is empty",
		"pop://u%0d%0aQUIT@h":       "holds CR, LF or NUL",
		"pop://u%zz@h":              "percent sign",
		"pop://h:0":                 "port",
		"pop://h:65536":             "port",
		"pop://h:x":                 "port",
		"pop://a:b:c":               "cannot be told apart",
		"pop://":                    "names no host",
		"pop://u@":                  "names no host",
		"pop://[x:y]":               "not an address",
	} {
		_, err := ParseURL(in)
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("ParseURL(%q) gives %v, want %q", in, err, reason)
		}
		if err != nil && strings.Contains(err.Error(), "sesa") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("pop://rg;AUTH=+APOP@mail.eudora.com:8110")
	f.Add("pop://a%40b@[::1]")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			return
		}
		again, err := ParseURL(u.String())
		if err != nil || again != u {
			t.Errorf("%q is %+v, written %q, read again %+v, %v", s, u, u.String(), again, err)
		}
	})
}
