package pop3server

import "context"

// rset takes back the marks of DELE (RFC 1939 section 5, RSET). Nothing is
// read anew: the maildrop is the one of the login.
func (s *session) rset(context.Context, argument) error {
	for i, marked := range s.marked {
		if marked {
			s.total.Messages++
			s.total.Octets += s.msgs.size(i + 1)
		}
	}
	s.marked = nil
	s.ok(textReset)
	return nil
}
