package pop3server

import "context"

// noop does nothing (RFC 1939 section 5, NOOP).
func (s *session) noop(context.Context, argument) error {
	s.ok(textNoop)
	return nil
}
