package pop3server

import (
	"context"

	"github.com/poplin-mail/poplin/pop3"
)

// quitEarly ends a session before login (RFC 1939 section 4, QUIT).
func (s *session) quitEarly(context.Context, argument) error {
	s.closing, s.why = true, "quit"
	s.ok(textBye)
	return nil
}

// quit enters the UPDATE state: the marked messages are removed (RFC 1939
// section 6). The reply is positive only when all of them are gone for good,
// and comes after the maildrop was given back, so that a client that returns
// at once gets it.
func (s *session) quit(ctx context.Context, _ argument) error {
	s.closing, s.why, s.state = true, "quit", pop3.Update
	marked := s.markedIndices()
	if len(marked) > 0 {
		// The end of the connection, or of the server, does not stop it
		// half way.
		ctx := context.WithoutCancel(ctx)
		err := s.drop.Remove(ctx, marked)
		for tries := 0; s.madeRoom(err, tries); tries++ {
			err = s.drop.Remove(ctx, marked)
		}
		if err != nil {
			s.why = "quit, update failed"
			s.log.Error("cannot remove messages", "user", s.account.Name, "error", pop3.Sanitize(err.Error()))
			s.release()
			return errNotRemoved
		}
		s.deleted = len(marked)
		s.srv.watch.Deleted(len(marked))
	}
	s.release()
	if len(marked) > 0 {
		s.ok(textUpdated)
	} else {
		s.ok(textBye)
	}
	return nil
}

func (s *session) markedIndices() []int {
	var indices []int
	for i, marked := range s.marked {
		if marked {
			indices = append(indices, i)
		}
	}
	return indices
}
