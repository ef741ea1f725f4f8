package target

import (
	"bytes"
	"io"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// envelope is what a message's header tells of its way here.
type envelope struct {
	sender string    // of the first Return-Path; empty: nobody, or there is none
	date   time.Time // when it arrived, or else was sent; zero: it does not tell
}

const (
	// headerLimit is how much of a message is read for its envelope: it stands
	// at the top.
	headerLimit = 256 << 10

	// senderLimit is the longest path, RFC 5321 section 4.5.3.1.3, without its
	// angle brackets.
	senderLimit = 254

	// clockLimit is how far ahead of the clock here a date may be.
	clockLimit = 24 * time.Hour
)

// oldest is the earliest date that is believed: there was no mail of this kind
// before, and what mail programs make of earlier dates varies.
var oldest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// readEnvelope reads a header with LF for line ends.
func readEnvelope(r io.Reader) (e envelope, err error) {
	text, err := io.ReadAll(io.LimitReader(r, headerLimit))
	if err != nil {
		return e, err
	}
	var returned, received, dated bool
	var sent time.Time
	for len(text) > 0 && text[0] != '\n' {
		var field string
		field, text = cutField(text)
		name, value, _ := strings.Cut(field, ":")
		switch name = strings.ToLower(strings.TrimRight(name, " \t")); {
		case name == "return-path" && !returned:
			returned = true
			e.sender = parsePath(value)
		case name == "received" && !received:
			received = true
			e.date = parseDate(value[strings.LastIndexByte(value, ';')+1:])
		case name == "date" && !dated:
			dated = true
			sent = parseDate(value)
		}
	}
	if e.date.IsZero() {
		e.date = sent
	}
	return e, nil
}

// cutField takes a field off a header, with the lines that continue it.
func cutField(text []byte) (field string, rest []byte) {
	end := 0
	for {
		i := bytes.IndexByte(text[end:], '\n')
		if i < 0 {
			return string(text), nil
		}
		end += i + 1
		if end == len(text) || text[end] != ' ' && text[end] != '\t' {
			return string(text[:end]), text[end:]
		}
	}
}

// parsePath gives the address between angle brackets, if it may stand in a
// command line.
func parsePath(value string) string {
	_, path, found := strings.Cut(value, "<")
	path, _, closed := strings.Cut(path, ">")
	if !found || !closed || len(path) > senderLimit || !utf8.ValidString(path) ||
		strings.ContainsFunc(path, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == '<' }) {
		return ""
	}
	return path
}

// parseDate gives a date that is believed, or zero.
func parseDate(value string) time.Time {
	t, err := mail.ParseDate(strings.Join(strings.Fields(value), " "))
	if err != nil || t.Before(oldest) || t.After(time.Now().Add(clockLimit)) {
		return time.Time{}
	}
	return t
}
