package maildir

import (
	"fmt"
	"strconv"
	"strings"
)

// parseDovecot parses Dovecot's dovecot-uidlist. Version 3 begins with
// "3 V<uidvalidity> N<next uid> ...", and its records are the UID, fields of a
// letter and a value, and the file name behind a colon. Version 1 begins with
// "1 <uidvalidity> <next uid>", and its records are UID and file name. Of the
// fields, P is the UID that POP3 serves instead of the format's; W, the size
// on the wire, is not believed.
func parseDovecot(data []byte, format []uidlWord) ([]pair, error) {
	all, err := lines(data)
	if err != nil {
		return nil, err
	}
	fields := strings.Split(all[0], " ")
	var validity uint64
	ok := false
	switch {
	case fields[0] == "3":
		for _, field := range fields[1:] {
			if value, found := strings.CutPrefix(field, "V"); found {
				validity, ok = number(value)
			}
		}
	case fields[0] == "1" && len(fields) == 3:
		validity, ok = number(fields[1])
	}
	if !ok {
		return nil, badLine(0, all[0], "the head of version 1 or 3")
	}
	pairs := make([]pair, 0, len(all)-1)
	last := uint64(0)
	for i, line := range all[1:] {
		uid, fields, name, ok := dovecotLine(line, fields[0] == "1")
		if !ok || uid == 0 || uid < last {
			return nil, badLine(i+1, line, "a record with a UID above those before it")
		}
		last = uid
		p := pair{base: baseOf(name)}
		for _, field := range fields {
			if value, found := strings.CutPrefix(field, "P"); found {
				p.uid = value
			}
		}
		if p.uid == "" {
			p.uid = formatUIDL(format, uid, validity, p.base)
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// dovecotLine parses a record.
func dovecotLine(line string, old bool) (uid uint64, fields []string, name string, ok bool) {
	mark := " :"
	if old {
		mark = " "
	}
	head, name, found := strings.Cut(line, mark)
	fields = strings.Split(head, " ")
	uid, ok = number(fields[0])
	return uid, fields[1:], name, ok && found && baseOf(name) != ""
}

// uidlWord is a piece of a pop3_uidl_format: text, or a variable.
type uidlWord struct {
	text  string
	name  byte // 'u', 'v' or 'f'; 0 for text
	hex   bool // lower-case digits
	width int  // filled up with 0
}

// parseUIDLFormat parses a pop3_uidl_format: text and variables, each of them
// % [0width] [X] name. (A width without the 0 cuts numbers short in Dovecot,
// so that two messages get one UID; that is refused.)
func parseUIDLFormat(format string) ([]uidlWord, error) {
	var words []uidlWord
	for rest := format; rest != ""; {
		text, behind, found := strings.Cut(rest, "%")
		if text != "" {
			words = append(words, uidlWord{text: text})
		}
		if !found {
			break
		}
		var w uidlWord
		digits := len(behind) - len(strings.TrimLeft(behind, "0123456789"))
		cuts := digits > 0 && behind[0] != '0'
		w.width, _ = strconv.Atoi(behind[:digits])
		behind = behind[digits:]
		behind, w.hex = strings.CutPrefix(behind, "X")
		if behind == "" || !strings.Contains("uvf", behind[:1]) || digits > 3 || cuts || behind[0] == 'f' && (w.hex || digits > 0) {
			return nil, fmt.Errorf("maildir: UIDLFormat %q is unknown: it may hold %%u, %%v and %%f, and numbers as in %%08Xu", format)
		}
		w.name = behind[0]
		words = append(words, w)
		rest = behind[1:]
	}
	for _, w := range words {
		if w.name == 'u' || w.name == 'f' {
			return words, nil
		}
	}
	return nil, fmt.Errorf("maildir: UIDLFormat %q has neither %%u nor %%f: all messages would have one UID", format)
}

// formatUIDL gives the UID that Dovecot serves for a message.
func formatUIDL(format []uidlWord, uid, validity uint64, base string) string {
	var b strings.Builder
	for _, w := range format {
		value := w.text
		n := uid
		switch w.name {
		case 'f':
			value = base
		case 'v':
			n = validity
			fallthrough
		case 'u':
			number := 10
			if w.hex {
				number = 16
			}
			value = strconv.FormatUint(n, number)
			value = strings.Repeat("0", max(0, w.width-len(value))) + value
		}
		b.WriteString(value)
	}
	return b.String()
}
