package pop3server

import (
	"context"
	"strings"
)

// apop logs in with a digest over the greeting's timestamp and a shared
// secret (RFC 1939 section 7, APOP).
func (s *session) apop(ctx context.Context, arg argument) error {
	if s.timestamp == "" {
		return errNoAPOP
	}
	// The digest is the last field: user names may hold blanks.
	cut := strings.LastIndexByte(arg.text, ' ')
	if cut <= 0 || cut == len(arg.text)-1 {
		return errArgumentMissing
	}
	login := s.newLogin("APOP", arg.text[:cut], "")
	digest := arg.text[cut+1:]
	return s.enter(ctx, login, func(ctx context.Context, l Login) (Account, error) {
		return s.srv.auth.(APOPAuthenticator).APOP(ctx, l, s.timestamp, digest)
	})
}
