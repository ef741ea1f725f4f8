package pop3server

import (
	"context"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// uidl gives the unique-id of one message or of all that are not marked (RFC
// 1939 section 7, UIDL).
func (s *session) uidl(_ context.Context, arg argument) error {
	if arg.n == 0 && s.msgs.lister != nil {
		return s.uids(s.msgs.lister.UIDs())
	}
	return s.listing(arg.n, func(dst []byte, n int) []byte {
		return pop3.UID{Number: n, UID: s.msgs.uid(n)}.Append(dst)
	})
}

// uids writes the lines of all messages that are not marked.
func (s *session) uids(lines string) error {
	s.ok(textListing)
	if s.marked == nil {
		s.w.WriteString(lines)
		return s.w.EndList()
	}
	n := 0
	for line := range strings.Lines(lines) {
		if n++; !s.isMarked(n) {
			s.w.WriteString(line)
		}
	}
	return s.w.EndList()
}
