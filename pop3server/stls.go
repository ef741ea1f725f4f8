package pop3server

import (
	"context"

	"github.com/poplin-mail/poplin/pop3"
)

// stls begins TLS (RFC 2595 section 4). Octets that came behind the command
// would be taken for part of the protected session if they were kept: that is
// an attack, and the connection is closed. Nothing that was said before TLS is
// remembered.
func (s *session) stls(ctx context.Context, _ argument) error {
	config := s.srv.opts.TLSConfig
	switch {
	case s.protected():
		return errTLSActive
	case config == nil:
		return errNoTLS
	}
	if s.r.Buffered() > 0 {
		s.log.Warn("octets behind STLS: connection closed")
		s.why = "octets behind STLS"
		return errCut
	}
	s.ok(textStartTLS)
	s.setReadDeadline(0)
	if s.w.Flush() != nil || !s.handshake(ctx, config) {
		return errCut
	}
	s.r.Reset(s.stream)
	s.state = pop3.Authorization
	s.user, s.userGiven, s.lang, s.bad = "", false, "", 0
	return nil
}
