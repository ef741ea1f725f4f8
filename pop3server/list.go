package pop3server

import (
	"context"

	"github.com/poplin-mail/poplin/pop3"
)

// list gives the scan listing of one message or of all that are not marked
// (RFC 1939 section 5, LIST).
func (s *session) list(_ context.Context, arg argument) error {
	return s.listing(arg.n, func(dst []byte, n int) []byte {
		return pop3.Listing{Number: n, Octets: s.msgs.size(n)}.Append(dst)
	})
}

// maxListing is room for a line of LIST or UIDL: a number, and a size or a
// unique-id.
const maxListing = 20 + 1 + pop3.MaxUID + 2

// listing writes the line that add makes for message n, or with n = 0 those
// of all messages that are not marked.
func (s *session) listing(n int, add func(dst []byte, n int) []byte) error {
	if n > 0 {
		line := append(s.w.Available(4+maxListing), "+OK "...)
		s.w.Write(append(add(line, n), "\r\n"...))
		return nil
	}
	s.ok(textListing)
	for n := range s.msgs.count {
		if n++; s.isMarked(n) {
			continue
		}
		s.w.Write(append(add(s.w.Available(maxListing), n), "\r\n"...))
	}
	return s.w.EndList()
}
