package pop3

import (
	"bytes"
	"strings"
	"testing"
)

// RFC 4648 sections 3.1 to 3.5: what is not canonical is refused.
func TestDecodeSASL(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "AGEAYg==": "\x00a\x00b", "YQ==": "a", "YWI=": "ab", "YWJj": "abc", "+/+/": "\xfb\xff\xbf",
	} {
		got, err := DecodeSASL(s)
		if string(got) != want || got == nil || err != nil {
			t.Errorf("DecodeSASL(%q) = %q, %v, want %q", s, got, err, want)
		}
	}
	for _, s := range []string{
		"YQ", "YQ=", "YQ===", "Y", "=", "==", "====", "YQ==YQ==", "YR==", "YWK=", "YWJj=", " YQ==", "YQ== ", "Y Q==", "YQ\t==",
		"Y\rQ==", "YQ==\r\n", "YQ\n==", "YQ==\x00", "-_-_", "*", "Y*==", "\xff\xff\xff\xff",
	} {
		if got, err := DecodeSASL(s); err != ErrBase64 || got != nil {
			t.Errorf("DecodeSASL(%q) = %q, %v, want ErrBase64", s, got, err)
		}
	}
}

// RFC 5034 section 4: "=" is the empty initial response.
func TestInitialResponse(t *testing.T) {
	if got, err := DecodeInitial("="); len(got) != 0 || got == nil || err != nil {
		t.Errorf(`DecodeInitial("=") = %q, %v`, got, err)
	}
	if got, err := DecodeInitial("YQ=="); string(got) != "a" || err != nil {
		t.Errorf("DecodeInitial = %q, %v", got, err)
	}
	for _, s := range []string{"", "==", "= ", "YQ"} {
		if got, err := DecodeInitial(s); err != ErrBase64 || got != nil {
			t.Errorf("DecodeInitial(%q) = %q, %v, want ErrBase64", s, got, err)
		}
	}
	if got := EncodeInitial(nil); got != "=" {
		t.Errorf("EncodeInitial(nil) = %q", got)
	}
	if got := EncodeInitial([]byte("a")); got != "YQ==" {
		t.Errorf("EncodeInitial = %q", got)
	}
	if got := EncodeSASL(nil); got != "" {
		t.Errorf("EncodeSASL(nil) = %q", got)
	}
}

func TestTimestamp(t *testing.T) {
	for greeting, want := range map[string]string{
		"POP3 server ready <1896.697170952@dbc.mtview.ca.us>": "<1896.697170952@dbc.mtview.ca.us>",
		"<1.2@a> ready":         "<1.2@a>",
		"<no at> <1.2@a>":       "<1.2@a>",
		"<<1.2@a>":              "<1.2@a>",
		"<a@b> <c@d>":           "<a@b>",
		"":                      "",
		"ready":                 "",
		"<":                     "",
		"<>":                    "",
		"<@>":                   "",
		"<a@>":                  "",
		"<@b>":                  "",
		"<a@b@c>":               "",
		"<a@b":                  "",
		"a@b>":                  "",
		"<a b@c>":               "",
		"<a\x00@b>":             "",
		"<\xc3\xa9@b>":          "",
		"<a\x7f@b>":             "",
		"<ready><1.2@a><2.3@b>": "<1.2@a>",
	} {
		if got := Timestamp(greeting); got != want {
			t.Errorf("Timestamp(%q) = %q, want %q", greeting, got, want)
		}
	}
}

// The example of RFC 1939 section 7, APOP.
func TestAPOP(t *testing.T) {
	const timestamp, secret, digest = "<1896.697170952@dbc.mtview.ca.us>", "tanstaaf", "c4c9334bac560ecc979e58001b3e22fb"
	if got := APOPDigest(timestamp, secret); got != digest {
		t.Errorf("APOPDigest = %q, want %q", got, digest)
	}
	for _, good := range []string{digest, strings.ToUpper(digest)} {
		if !CheckAPOP(timestamp, secret, good) {
			t.Errorf("%q refused", good)
		}
	}
	for _, bad := range []string{"", digest[:31], digest + "0", strings.Replace(digest, "c", "d", 1), secret} {
		if CheckAPOP(timestamp, secret, bad) {
			t.Errorf("%q taken", bad)
		}
	}
	if CheckAPOP(timestamp, secret+"x", digest) || CheckAPOP("<1.2@b>", secret, digest) {
		t.Error("a digest for another secret or timestamp was taken")
	}
}

func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "=", "YQ==", "YQ", "YR==", "Y Q=", "YQ==\r\n", "+/+/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := DecodeSASL(s)
		if err == nil && EncodeSASL(b) != s {
			t.Fatalf("%q decodes to %q, which encodes to %q", s, b, EncodeSASL(b))
		}
		back, err := DecodeInitial(EncodeInitial([]byte(s)))
		if err != nil || !bytes.Equal(back, []byte(s)) {
			t.Fatalf("%q comes back as %q, %v", s, back, err)
		}
	})
}

func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{"", "<a@b>", "<<a@b>", "x <1.2@h> y", "<a@b@c>", "<>@<>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, greeting string) {
		ts := Timestamp(greeting)
		if ts == "" {
			return
		}
		if !strings.Contains(greeting, ts) || !strings.HasPrefix(ts, "<") || !strings.HasSuffix(ts, ">") ||
			strings.Count(ts, "@") != 1 || strings.Count(ts, "<") != 1 || strings.Count(ts, ">") != 1 {
			t.Fatalf("Timestamp(%q) = %q", greeting, ts)
		}
		for _, c := range []byte(ts) {
			if c <= ' ' || c > '~' {
				t.Fatalf("Timestamp(%q) = %q", greeting, ts)
			}
		}
	})
}
