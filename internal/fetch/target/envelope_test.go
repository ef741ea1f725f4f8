package target

import (
	"strings"
	"testing"
	"time"
)

func TestEnvelope(t *testing.T) {
	at := func(text string) string {
		d, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return d.UTC().String()
	}
	future := time.Now().Add(48 * time.Hour).Format("Mon, 2 Jan 2006 15:04:05 -0700")
	for text, want := range map[string]struct{ sender, date string }{
		"Return-Path: <anna@example.org>\n\n":                                                      {"anna@example.org", ""},
		"return-path :\n <anna@example.org>\nReturn-Path: <b@c>\n":                                 {"anna@example.org", ""},
		"Return-Path: <>\nReturn-Path: <b@c>\n":                                                    {"", ""},
		"Return-Path: anna@example.org\n":                                                          {"", ""},
		"Return-Path: <anna@exam\tple.org>\n":                                                      {"", ""},
		"Return-Path: <a <b@c>\n":                                                                  {"", ""},
		"Return-Path: <anna@\xff>\n":                                                               {"", ""},
		"Return-Path: <bücher@example.org>\n":                                                      {"bücher@example.org", ""},
		"Return-Path: <" + strings.Repeat("a", 300) + ">\n":                                        {"", ""},
		"\nReturn-Path: <anna@example.org>\n":                                                      {"", ""},
		"Received: by a; Fri, 27 Nov 2026 10:00:00 +0100 (CET)\nDate: 1 Jan 2020 00:00:00 +0000\n": {"", at("2026-11-27T09:00:00Z")},
		"Received: from a\n\tby b (x; y)\n\tid 1;\n\tFri, 27 Nov 2026\n\t 10:00:00 -0800\n":        {"", at("2026-11-27T18:00:00Z")},
		"Received: by b; nonsense\nReceived: by a; Fri, 27 Nov 2026 10:00:00 +0100\n":              {"", ""},
		"Received: by b\nDate: Fri, 27 Nov 2026 10:00:00 +0100\n":                                  {"", at("2026-11-27T09:00:00Z")},
		"DATE: 27 Nov 2026 10:00 GMT\n":                                                            {"", at("2026-11-27T10:00:00Z")},
		"Date: Thu, 1 Jan 1970 00:00:00 +0000\n":                                                   {"", ""},
		"Date: " + future + "\n":                                                                   {"", ""},
		"Received: by b; " + future + "\nDate: Fri, 27 Nov 2026 10:00:00 +0100\n":                  {"", at("2026-11-27T09:00:00Z")},
		"no header at all":                                                                         {"", ""},
	} {
		e, err := readEnvelope(strings.NewReader(text))
		date := ""
		if !e.date.IsZero() {
			date = e.date.UTC().String()
		}
		if err != nil || e.sender != want.sender || date != want.date {
			t.Errorf("%q: %q, %s, error %v, want %q, %s", text, e.sender, date, err, want.sender, want.date)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, text := range letters() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := readEnvelope(strings.NewReader(text))
		if err != nil || strings.ContainsAny(e.sender, "\r\n<> \x00") || len(e.sender) > senderLimit {
			t.Errorf("%q: sender %q, error %v", text, e.sender, err)
		}
		if line := newPlace(0, e).fromLine(); strings.Count(line, "\n") != 1 || len(strings.Fields(line)) != 7 {
			t.Errorf("%q: the first line is %q", text, line)
		}
	})
}
