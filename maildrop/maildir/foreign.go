package maildir

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// DefaultUIDLFormat is Dovecot's default for pop3_uidl_format.
const DefaultUIDLFormat = "%08Xu%08Xv"

// source is a list of UIDs that another server keeps in a Maildir. The zero
// value is none.
type source struct {
	file  string
	parse func(data []byte) ([]pair, error)
}

// parseSource makes the source that Options.UIDL and Options.UIDLFormat name.
func parseSource(name, format string) (source, error) {
	if format != "" && name != "dovecot" {
		return source{}, fmt.Errorf("maildir: UIDLFormat %q needs UIDL dovecot", format)
	}
	switch name {
	case "":
		return source{}, nil
	case "dovecot":
		if format == "" {
			format = DefaultUIDLFormat
		}
		words, err := parseUIDLFormat(format)
		if err != nil {
			return source{}, err
		}
		return source{"dovecot-uidlist", func(data []byte) ([]pair, error) { return parseDovecot(data, words) }}, nil
	case "courier":
		return source{"courierpop3dsizelist", parseCourier}, nil
	}
	return source{}, fmt.Errorf(`maildir: UIDL %q is unknown: "dovecot", "courier" or "" are known`, name)
}

// number parses a decimal number of 32 bits.
func number(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return n, err == nil
}

// lines cuts a list into lines. A last line without its end is one that is
// being written, or was cut.
func lines(data []byte) ([]string, error) {
	text, found := strings.CutSuffix(string(data), "\n")
	if !found {
		return nil, errors.New("it is cut off: its last line has no end")
	}
	return strings.Split(text, "\n"), nil
}

// badLine is the error for a line, counted from 0.
func badLine(i int, line, want string) error {
	return fmt.Errorf("its line %d, %q, is not %s", i+1, line, want)
}

// parseCourier parses Courier's courierpop3dsizelist. Its first line is
// "/VERSION NEXT UIDVALIDITY" (version 1 has no UIDVALIDITY), and each other
// "NAME SIZE N:UIDVALIDITY" (version 1: N; version 3: a flag behind another
// colon). The oldest has no first line, and lines of "NAME SIZE". Courier
// serves UIDn-uidvalidity, or UIDn where that is 0, or where n is 0 the name.
func parseCourier(data []byte) ([]pair, error) {
	if len(data) == 0 {
		return nil, nil
	}
	all, err := lines(data)
	if err != nil {
		return nil, err
	}
	version := uint64(0)
	if header, found := strings.CutPrefix(all[0], "/"); found {
		fields := strings.Fields(header)
		ok := len(fields) > 0
		if ok {
			version, ok = number(fields[0])
		}
		if !ok || version < 1 || version > 3 {
			return nil, badLine(0, all[0], "the head of version 1, 2 or 3")
		}
	}
	var pairs []pair
	for i, line := range all {
		if i == 0 && version > 0 {
			continue
		}
		p, ok := courierLine(line, version)
		if !ok {
			return nil, badLine(i, line, fmt.Sprintf("a record of version %d", version))
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// courierLine parses a record.
func courierLine(line string, version uint64) (pair, bool) {
	// The name may hold blanks; what follows it does not.
	cut := func() string {
		at := max(strings.LastIndexByte(line, ' '), 0)
		field := strings.TrimPrefix(line[at:], " ")
		line = line[:at]
		return field
	}
	n, uidv := "0", "0"
	if version > 0 {
		var found bool
		n, uidv, found = strings.Cut(cut(), ":")
		if !found {
			uidv = "0"
		}
		if version == 3 {
			uidv, _, found = strings.Cut(uidv, ":")
		}
		if !found && version > 1 {
			return pair{}, false
		}
	}
	size := cut()
	base := baseOf(line)
	if _, err := strconv.ParseUint(size, 10, 64); err != nil || base == "" {
		return pair{}, false
	}
	un, ok1 := number(n)
	uv, ok2 := number(uidv)
	switch {
	case !ok1 || !ok2:
		return pair{}, false
	case un == 0:
		return pair{base, courierName(base)}, true
	case uv == 0:
		return pair{base, fmt.Sprintf("UID%d", un)}, true
	}
	return pair{base, fmt.Sprintf("UID%d-%d", un, uv)}, true
}

// courierName gives the UID that Courier makes of a name.
func courierName(base string) string {
	var b strings.Builder
	for i := range len(base) {
		if c := base[i]; c < 0x21 || c > 0x7E || c == '\'' || c == '"' || c == '+' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
