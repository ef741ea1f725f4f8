package pop3

import (
	"fmt"
	"strconv"
	"strings"
)

// Stat is the drop listing that STAT answers with (RFC 1939 section 5): how
// many messages there are that are not marked as deleted, and the sum of
// their sizes in octets.
type Stat struct {
	Messages int
	Octets   int64
}

// Append adds the form of the wire, "2 320", to dst.
func (s Stat) Append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(s.Messages), 10)
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, s.Octets, 10)
}

// ParseStat reads the text of STAT's positive reply. What follows the two
// numbers is allowed and ignored (RFC 1939 section 5, STAT).
func ParseStat(text string) (Stat, error) {
	number, rest := cutField(text)
	octets, _ := cutField(rest)
	n, ok := ParseCount(number)
	size, ok2 := parseOctets(octets)
	if !ok || !ok2 || len(number) > MaxDigits {
		return Stat{}, fmt.Errorf("pop3: STAT reply %q is not two numbers", Sanitize(text))
	}
	return Stat{Messages: n, Octets: size}, nil
}

// cutField splits off the field before the first run of blanks.
func cutField(s string) (field, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}
