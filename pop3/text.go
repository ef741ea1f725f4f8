package pop3

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sanitize makes text that came from the other end fit for a terminal, a log
// or a reply: control characters, direction overrides and octets that are not
// UTF-8 become '?', and it is cut at 200 characters.
func Sanitize(s string) string {
	const limit = 200
	clean := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			clean = false
			break
		}
	}
	if clean && len(s) <= limit {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			b.WriteString("...")
			break
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// ValidArgument reports whether s may stand in a command line: it holds no
// CR, LF or NUL, which would end the command or begin another.
func ValidArgument(s string) bool {
	return !strings.ContainsAny(s, "\r\n\x00")
}
