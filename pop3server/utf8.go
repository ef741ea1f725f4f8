package pop3server

import "context"

// utf8 enables UTF-8 (RFC 6856 section 2). It changes nothing: messages go
// out as they are stored, and user names and passwords are octets.
func (s *session) utf8(context.Context, argument) error {
	s.ok(textUTF8)
	return nil
}
