package pop3server

import "context"

// dele marks a message as deleted. It is removed at QUIT, and only then (RFC
// 1939 section 5, DELE).
func (s *session) dele(_ context.Context, arg argument) error {
	if s.account.View.ReadOnly {
		return errReadOnly
	}
	if s.marked == nil {
		s.marked = make([]bool, s.msgs.count)
	}
	s.marked[arg.n-1] = true
	s.total.Messages--
	s.total.Octets -= s.msgs.size(arg.n)
	s.ok(textDeleted)
	return nil
}
