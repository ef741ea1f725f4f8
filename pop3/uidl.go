package pop3

import (
	"fmt"
	"strconv"
)

// UID is one unique-id listing, a line of UIDL (RFC 1939 section 7).
type UID struct {
	Number int
	UID    string
}

// Append adds the form of the wire, "1 whqtswO00WBw418f9t5JxYwZ", to dst.
func (u UID) Append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(u.Number), 10)
	dst = append(dst, ' ')
	return append(dst, u.UID...)
}

// ValidUID reports whether s may be a unique-id: 1 to 70 octets in the range
// 0x21 to 0x7E (RFC 1939 section 7, UIDL).
func ValidUID(s string) bool {
	if s == "" || len(s) > MaxUID {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E {
			return false
		}
	}
	return true
}

// ParseUID reads a line of UIDL, or the text of the reply to UIDL with a
// number. A unique-id that the RFC does not allow is an error. Servers exist
// that add fields; what follows a blank is ignored, as after a scan listing.
func ParseUID(line string) (UID, error) {
	number, rest := cutField(line)
	uid, _ := cutField(rest)
	n, ok := ParseNumber(number)
	if !ok || !ValidUID(uid) {
		return UID{}, fmt.Errorf("pop3: unique-id listing %q is not a message number and 1 to %d printable octets", Sanitize(line), MaxUID)
	}
	return UID{Number: n, UID: uid}, nil
}
