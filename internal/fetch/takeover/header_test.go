package takeover

import (
	"math/rand/v2"
	"strings"
	"testing"
)

const letter = `Received: from a.example (a.example [192.0.2.1])
	by mx.example.org with ESMTPS id Q1
	for <bela@example.org>; Mon, 02 Nov 2026 10:00:01 +0000
Received: from [198.51.100.7] by a.example with ESMTPSA id P9; Mon, 02 Nov 2026 10:00:00 +0000
From: Ada <ada@example.org>
To: Bela <bela@example.org>,
 carl@example.org
Cc: dora@example.org
Subject: letter
 of  two	lines
Date: Mon, 02 Nov 2026 10:00:00 +0000
Message-ID: <1@example.org>

Hello
`

// What deliveries do to a header makes no difference.
func TestHeaderHashSame(t *testing.T) {
	want := HeaderHash([]byte(letter))
	replace := func(old, to string) string {
		t.Helper()
		if !strings.Contains(letter, old) {
			t.Fatalf("%q is not in the letter", old)
		}
		return strings.ReplaceAll(letter, old, to)
	}
	for name, text := range map[string]string{
		"CRLF":                replace("\n", "\r\n"),
		"CR in the middle":    replace("letter", "let\rter"),
		"unfolded":            replace("\n ", " "),
		"folded otherwise":    replace(" two\tlines", "\r\n\ttwo\r\n\tlines"),
		"fields added above":  "Return-Path: <ada@example.org>\nDelivered-To: bela\nReceived: from pop by home\n\twith POP3; now\n" + letter,
		"fields added below":  replace("\n\n", "\nX-Spam-Status: No\nStatus: RO\n\n"),
		"a line of an mbox":   "From ada@example.org Mon Nov  2 10:00:00 2026\n" + letter,
		"names in upper case": strings.NewReplacer("From:", "FROM:", "Subject:", "SUBJECT:").Replace(letter),
		"blank before colon":  replace("Subject:", "Subject :"),
		"no blank after it":   replace("Subject: ", "Subject:"),
		"another body":        replace("Hello", "From: someone else\n\nBye"),
		"no body":             strings.TrimSuffix(letter, "\nHello\n"),
		"other order":         strings.Replace(replace("Cc: dora@example.org\n", ""), "From:", "Cc: dora@example.org\nFrom:", 1),
	} {
		if HeaderHash([]byte(text)) != want {
			t.Errorf("%s: another hash", name)
		}
	}
}

// Whatever tells two messages apart makes another hash.
func TestHeaderHashOther(t *testing.T) {
	seen := map[[16]byte]string{HeaderHash([]byte(letter)): "the letter"}
	for name, change := range map[string][2]string{
		"Message-ID":           {"<1@", "<2@"},
		"no Message-ID":        {"Message-ID: <1@example.org>\n", ""},
		"Date":                 {"Date: Mon, 02 Nov 2026 10:00:00", "Date: Mon, 02 Nov 2026 10:00:01"},
		"From":                 {"From: Ada", "From: Eve"},
		"second From":          {"From: Ada", "From: Eve <eve@example.org>\nFrom: Ada"},
		"To":                   {"carl", "cora"},
		"Cc":                   {"dora", "dina"},
		"Cc for To":            {"Cc: dora@example.org\n", "To: dora@example.org\n"},
		"Subject":              {"letter", "litter"},
		"Subject, case":        {"Subject: letter", "Subject: Letter"},
		"value in the name":    {"Subject: letter", "Subject: letter\nSubject: "},
		"Subject in the body":  {"Subject: letter\n of  two\tlines\n", ""},
		"blank in the address": {"carl@", "carl @"},
	} {
		text := strings.Replace(letter, change[0], change[1], 1)
		if text == letter {
			t.Fatalf("%s: nothing changed", name)
		}
		hash := HeaderHash([]byte(text))
		if other, known := seen[hash]; known {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[hash] = name
	}
}

func TestTelling(t *testing.T) {
	for text, want := range map[string]bool{
		letter:                    true,
		"Message-ID: <1@x>\n":     true,
		"Message-ID: \nDate: x\n": false,
		"Subject: x\n":            false,
		"":                        false,
		"Date: x\nReceived: y\n":  true,
		"Received: y\n":           false,
		letter[:4] + "\n":         false,
		strings.Repeat("Received: x\n", maxTrace) + "Message-ID: y\n":   true,
		strings.Repeat("Received: x\n", maxTrace+1) + "Message-ID: y\n": false,
	} {
		if got := newFingerprint([]byte(text)).telling; got != want {
			t.Errorf("%.60q: %v", text, got)
		}
	}
}

// A copy has the way that the message took, below what was added.
func TestCame(t *testing.T) {
	message := newFingerprint([]byte(letter))
	first, rest, _ := strings.Cut(letter, "Received: from [198")
	rest = "Received: from [198" + rest
	for name, test := range map[string]struct {
		copy string
		want bool
	}{
		"as it is":             {letter, true},
		"one more at the top":  {"Received: from pop\n" + letter, true},
		"three more":           {"Received: a\nX: y\nReceived: b\nReceived: c\n" + letter, true},
		"folded otherwise":     {strings.ReplaceAll(letter, "\n\t", " "), true},
		"the first is missing": {rest, false},
		"another first":        {strings.Replace(letter, "id Q1", "id Q2", 1), false},
		"another below":        {strings.Replace(letter, "id P9", "id P8", 1), false},
		"one more between":     {first + "Received: from list\n" + rest, false},
		"one more at the end":  {strings.Replace(letter, "From: Ada", "Received: z\nFrom: Ada", 1), false},
		"another letter":       {strings.Replace(letter, "<1@", "<2@", 1), false},
	} {
		if got := newFingerprint([]byte(test.copy)).came(message); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !message.came(newFingerprint([]byte(strings.ReplaceAll(letter, "Received:", "X-Received:")))) {
		t.Error("a message that has no field Received is not found by its other fields")
	}
}

// Fields above and CRLF change nothing, whatever the text is, and folding at a
// blank changes no value.
func FuzzHeaderHash(f *testing.F) {
	f.Add(letter, "a letter of two lines", uint64(1))
	f.Add("a: b\n c\n\nd", "", uint64(2))
	f.Add("no header", "x:y \xff \x00", uint64(3))
	f.Fuzz(func(t *testing.T, text, subject string, seed uint64) {
		hash := HeaderHash([]byte(text))
		if HeaderHash([]byte("X-A: b\nReceived: c\n\td\nX-B: e\n"+strings.TrimLeft(text, " \t"))) != HeaderHash([]byte(strings.TrimLeft(text, " \t"))) {
			t.Error("fields above change the hash")
		}
		if HeaderHash([]byte(strings.ReplaceAll(text, "\n", "\r\n"))) != hash {
			t.Error("CRLF changes the hash")
		}
		for name, value := range fields([]byte(text)) {
			if name == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(value, "\r\n\t") || strings.Contains(value, "  ") {
				t.Errorf("field %q: %q", name, value)
			}
		}
		r := rand.New(rand.NewPCG(seed, 0))
		words := strings.FieldsFunc(subject, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) })
		plain, folded := "Subject:", "SUBJECT :"
		for _, word := range words {
			plain += " " + word
			folded += []string{" ", "\t ", "\n ", "\r\n\t", " \n  \r\n "}[r.IntN(5)] + word
		}
		if HeaderHash([]byte(plain+"\n")) != HeaderHash([]byte(folded+"\r\n")) {
			t.Errorf("%q and %q have two hashes", plain, folded)
		}
	})
}
