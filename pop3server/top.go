package pop3server

import (
	"context"
	"io"

	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/maildrop"
)

// top sends a message's header, the blank line, and the first lines of its
// body (RFC 1939 section 7, TOP).
func (s *session) top(ctx context.Context, arg argument) error {
	open := s.drop.Open
	if p, ok := s.drop.(maildrop.Peeker); ok {
		open = p.Peek
	}
	return s.send(ctx, arg.n, -1, open, func(stored io.Reader) io.Reader {
		s.ok(textTopFollows)
		return wire.Top(stored, arg.lines)
	})
}
