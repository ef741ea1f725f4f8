package pop3test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxOctets bounds what one text may expand to, so that a slip in a repeat
// count is an error and not the end of memory.
const maxOctets = 16 << 20

var errTooLong = fmt.Errorf("text expands to more than %d octets", maxOctets)

// unescape gives the octets that a text of a transcript stands for.
func unescape(s string) ([]byte, error) {
	out, rest, err := expand(s, false)
	if err == nil && rest != "" {
		err = errors.New("closing bracket without \\*N(")
	}
	return out, err
}

// expand reads s to its end, or inside a repetition to the closing bracket.
func expand(s string, inside bool) (out []byte, rest string, err error) {
	for s != "" {
		i := strings.IndexAny(s, `\)`)
		if i < 0 {
			i = len(s)
		}
		out, s = append(out, s[:i]...), s[i:]
		switch {
		case s == "":
		case s[0] == ')' && inside:
			return out, s[1:], nil
		case s[0] == ')':
			out, s = append(out, ')'), s[1:]
		default:
			if out, s, err = escape(out, s[1:]); err != nil {
				return nil, "", err
			}
		}
		if len(out) > maxOctets {
			return nil, "", errTooLong
		}
	}
	if inside {
		return nil, "", errors.New("\\*N( without closing bracket")
	}
	return out, "", nil
}

// escape appends the octets of the escape that s begins with, behind the
// backslash.
func escape(out []byte, s string) ([]byte, string, error) {
	if s == "" {
		return nil, "", errors.New("backslash at the end")
	}
	if i := strings.IndexByte(`rnt0\)`, s[0]); i >= 0 {
		return append(out, "\r\n\t\x00\\)"[i]), s[1:], nil
	}
	switch s[0] {
	case 'x':
		if len(s) < 3 {
			return nil, "", errors.New("\\x without two hex digits")
		}
		b, err := hex.DecodeString(s[1:3])
		if err != nil {
			return nil, "", fmt.Errorf("\\x%s: %w", s[1:3], err)
		}
		return append(out, b[0]), s[3:], nil
	case '*':
		count, text, ok := strings.Cut(s[1:], "(")
		n, err := strconv.ParseUint(count, 10, 31)
		if !ok || err != nil {
			return nil, "", errors.New("\\* without a count and an opening bracket")
		}
		part, rest, err := expand(text, true)
		if err != nil {
			return nil, "", err
		}
		if len(part) > 0 && n > uint64((maxOctets-len(out))/len(part)) {
			return nil, "", errTooLong
		}
		return append(out, strings.Repeat(string(part), int(n))...), rest, nil
	}
	return nil, "", fmt.Errorf("unknown escape \\%c", s[0])
}
