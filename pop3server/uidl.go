package pop3server

import (
	"context"

	"github.com/poplin-mail/poplin/pop3"
)

// uidl gives the unique-id of one message or of all that are not marked (RFC
// 1939 section 7, UIDL).
func (s *session) uidl(_ context.Context, arg argument) error {
	return s.listing(arg.n, func(dst []byte, n int) []byte {
		return pop3.UID{Number: n, UID: s.msgs[n-1].UID}.Append(dst)
	})
}
