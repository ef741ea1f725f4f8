package pop3server

import (
	"context"

	gosasl "github.com/emersion/go-sasl"
)

// pass logs in the user that USER named (RFC 1939 section 7, PASS). All that
// follows one blank is the password, blanks included.
func (s *session) pass(ctx context.Context, arg argument) error {
	if !s.mayLogin() {
		return errTLSRequired
	}
	if !s.srv.offers(gosasl.Plain) {
		return errNoMechanism
	}
	if !s.userGiven {
		return errUserFirst
	}
	login := s.newLogin("USER", s.user, arg.text)
	s.userGiven = false
	return s.enter(ctx, login, s.srv.auth.Password)
}
