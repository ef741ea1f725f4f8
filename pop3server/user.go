package pop3server

import "context"

// userCmd notes the user name (RFC 1939 section 7, USER). It never tells
// whether there is such a user.
func (s *session) userCmd(_ context.Context, arg argument) error {
	if !s.mayLogin() {
		return errTLSRequired
	}
	s.user, s.userGiven = arg.text, true
	s.ok(textUser)
	return nil
}
