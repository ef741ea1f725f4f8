package pop3server

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
)

// greet sends the greeting (RFC 1939 section 4). It holds a timestamp in
// angle brackets only where APOP works, since clients take one for the offer.
func (s *session) greet() {
	if !s.srv.opts.APOP {
		s.ok(textGreeting)
		return
	}
	s.timestamp = newTimestamp(s.srv.opts.Hostname)
	s.w.Line("+OK ", s.say(textGreeting), " ", s.timestamp)
}

// newTimestamp makes a timestamp that never comes twice, in the form of RFC
// 1939's own example, <digits.digits@host>: clients exist that know no other.
func newTimestamp(host string) string {
	var b [16]byte
	rand.Read(b[:])
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune("<>@", r) {
			return -1
		}
		return r
	}, host)
	if host == "" {
		host = "localhost"
	}
	return fmt.Sprintf("<%d.%d@%s>", binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), host)
}
