package pop3server

import "context"

// stat gives the drop listing (RFC 1939 section 5, STAT).
func (s *session) stat(context.Context, argument) error {
	line := append(s.w.Available(64), "+OK "...)
	line = s.total.Append(line)
	s.w.Write(append(line, "\r\n"...))
	return nil
}
