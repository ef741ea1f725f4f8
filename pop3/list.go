package pop3

import (
	"fmt"
	"strconv"
)

// Listing is one scan listing, a line of LIST (RFC 1939 section 5): a
// message's number and its size in octets as RETR sends it, before
// dot-stuffing and without the terminator.
type Listing struct {
	Number int
	Octets int64
}

// Append adds the form of the wire, "1 120", to dst.
func (l Listing) Append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(l.Number), 10)
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, l.Octets, 10)
}

// ParseListing reads a line of LIST, or the text of the reply to LIST with a
// number. What follows the two numbers is allowed and ignored (RFC 1939
// section 5, LIST).
func ParseListing(line string) (Listing, error) {
	number, rest := cutField(line)
	octets, _ := cutField(rest)
	n, ok := ParseNumber(number)
	size, ok2 := parseOctets(octets)
	if !ok || !ok2 {
		return Listing{}, fmt.Errorf("pop3: scan listing %q is not a message number and a size", Sanitize(line))
	}
	return Listing{Number: n, Octets: size}, nil
}
