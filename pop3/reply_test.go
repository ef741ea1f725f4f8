package pop3

import (
	"errors"
	"strings"
	"testing"
)

// RFC 1939 section 3 and RFC 2449 section 8.
func TestParseReply(t *testing.T) {
	for line, want := range map[string]string{
		"+OK": "", "+OK ": "", "+OK 2 320": "2 320", "+OK  two blanks": " two blanks", "+ok lower": "lower", "+OK\ttab": "\ttab",
		"+OK [IN-USE] kept": "[IN-USE] kept",
	} {
		if got, err := ParseReply(line); got != want || err != nil {
			t.Errorf("ParseReply(%q) = %q, %v, want %q", line, got, err, want)
		}
	}
	for line, want := range map[string]Error{
		"-ERR":                           {},
		"-ERR no such message":           {Text: "no such message"},
		"-err lower":                     {Text: "lower"},
		"-ERR [IN-USE] try later":        {Code: InUse, Text: "try later"},
		"-ERR [in-use] try later":        {Code: InUse, Text: "try later"},
		"-ERR [SYS/TEMP]":                {Code: SysTemp},
		"-ERR [SYS/TEMP/DISK]x":          {Code: "SYS/TEMP/DISK", Text: "x"},
		"-ERR [] empty":                  {Text: "[] empty"},
		"-ERR [two words] x":             {Text: "[two words] x"},
		"-ERR [open":                     {Text: "[open"},
		"-ERR [a[b] x":                   {Text: "[a[b] x"},
		"-ERR [\x01] x":                  {Text: "[\x01] x"},
		"-ERR [\xc3\xa9] x":              {Text: "[\xc3\xa9] x"},
		"-ERR text with [AUTH] inside":   {Text: "text with [AUTH] inside"},
		"-ERR  [AUTH] behind two blanks": {Text: " [AUTH] behind two blanks"},
	} {
		text, err := ParseReply(line)
		var got *Error
		if text != "" || !errors.As(err, &got) || *got != want {
			t.Errorf("ParseReply(%q) = %q, %#v, want %#v", line, text, err, want)
		}
	}
	for _, line := range []string{"", "+", "+O", "OK", "+OKAY", "-ERROR", " +OK", "* OK IMAP4", "220 smtp", "HTTP/1.1 400", "+\x00OK", "+ "} {
		if text, err := ParseReply(line); err != ErrMalformedReply || text != "" {
			t.Errorf("ParseReply(%q) = %q, %v, want ErrMalformedReply", line, text, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	for want, err := range map[string]*Error{
		"":                   {},
		"no":                 {Text: "no"},
		"[IN-USE]":           {Code: InUse},
		"[IN-USE] try later": {Code: InUse, Text: "try later"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("%#v: %q, want %q", err, got, want)
		}
	}
}

// RFC 3206 section 4: SYS/TEMP may pass, SYS/PERM and AUTH do not.
func TestErrorTemporary(t *testing.T) {
	for code, want := range map[Code]bool{
		InUse: true, LoginDelay: true, SysTemp: true, "SYS/TEMP/DISK": true, "sys/temp": true, "in-use": true,
		SysPerm: false, Auth: false, UTF8: false, "": false, "SYS": false, "SYS/TEMPORARY": false, "SYS/PERM/TEMP": false,
	} {
		if got := (&Error{Code: code}).Temporary(); got != want {
			t.Errorf("%q: %v, want %v", code, got, want)
		}
	}
}

func TestSanitize(t *testing.T) {
	long := strings.Repeat("x", 200)
	for s, want := range map[string]string{
		"":                       "",
		"plain ~ text":           "plain ~ text",
		"a\r\nb\tc\x00":          "a??b?c?",
		"\x1b[31mred":            "?[31mred",
		"caf\u00e9":              "caf\u00e9",
		"a\u202eb":               "a?b",
		"bad \xff\xfe":           "bad ??",
		"\u0085\x7f":             "??",
		long:                     long,
		long + "y":               long + "...",
		strings.Repeat("é", 200): strings.Repeat("é", 200),
		strings.Repeat("é", 201): strings.Repeat("é", 200) + "...",
	} {
		if got := Sanitize(s); got != want {
			t.Errorf("Sanitize(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestValidArgument(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "a b": true, "é\xff\t": true, "a\rb": false, "a\n": false, "\x00": false, "x\r\nDELE 1": false,
	} {
		if got := ValidArgument(s); got != want {
			t.Errorf("ValidArgument(%q) = %v", s, got)
		}
	}
}

func TestStateString(t *testing.T) {
	for s, want := range map[State]string{
		Authorization: "AUTHORIZATION", Transaction: "TRANSACTION", Update: "UPDATE", 3: "unknown state",
	} {
		if got := s.String(); got != want {
			t.Errorf("state %d: %q", s, got)
		}
	}
}

func TestParseLanguage(t *testing.T) {
	for line, want := range map[string]Language{
		"en English": {"en", "English"}, "de": {"de", ""}, "i-default A language": {"i-default", "A language"}, "": {},
	} {
		if got := ParseLanguage(line); got != want {
			t.Errorf("ParseLanguage(%q) = %v", line, got)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	for _, s := range []string{"+OK", "+OK x", "-ERR", "-ERR [IN-USE] x", "-ERR []", "+OKAY", "", "-ERR [a[b] x", "-ERR  [x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		text, err := ParseReply(line)
		var reply *Error
		switch {
		case err == nil:
			if !strings.EqualFold(line[:3], "+OK") || !strings.HasSuffix(line, text) {
				t.Fatalf("%q: %q", line, text)
			}
		case errors.As(err, &reply):
			again := ParseError(reply.Error())
			if reply.Code != "" && *again != *reply {
				t.Fatalf("%q: %#v, and from its own form %#v", line, reply, again)
			}
			if strings.ContainsAny(string(reply.Code), "[] \r\n") || !strings.HasSuffix(line, reply.Text) {
				t.Fatalf("%q: %#v", line, reply)
			}
		case err != ErrMalformedReply:
			t.Fatalf("%q: %v", line, err)
		}
	})
}

func FuzzSanitize(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b[2J", "a\u202eb", "\xff", strings.Repeat("é", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Sanitize(s)
		if n := len([]rune(got)); n > 203 {
			t.Fatalf("%d characters", n)
		}
		if strings.ContainsAny(got, "\r\n\x00\x1b\x7f") || Sanitize(got) != got && len([]rune(got)) <= 200 {
			t.Fatalf("Sanitize(%q) = %q", s, got)
		}
	})
}
