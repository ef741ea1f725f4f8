package pop3server

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/poplin-mail/poplin/internal/wire"
	"github.com/poplin-mail/poplin/pop3"
)

// retr sends a message whole (RFC 1939 section 5, RETR).
func (s *session) retr(ctx context.Context, arg argument) error {
	size := s.msgs.size(arg.n)
	err := s.send(ctx, arg.n, size, s.drop.Open, func(stored io.Reader) io.Reader {
		s.w.Line("+OK ", strconv.FormatInt(size, 10), " octets")
		return stored
	})
	if err == nil {
		s.retrieved++
	}
	return err
}

// opener is Maildrop.Open or Peeker.Peek.
type opener func(ctx context.Context, i int) (io.ReadCloser, error)

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

// send writes the part of message n, which open gives, that cut makes of it, after the positive
// reply that cut writes. Want is the number of octets that it must have, below
// zero for any. Once the reply has begun, a message that cannot be read to its
// end, or has another size than announced, ends the session without the
// terminator: the client would take it for whole, and delete it.
func (s *session) send(ctx context.Context, n int, want int64, open opener, cut func(io.Reader) io.Reader) error {
	stored, err := open(ctx, n-1)
	for tries := 0; s.madeRoom(err, tries); tries++ {
		stored, err = open(ctx, n-1)
	}
	if err != nil {
		return err
	}
	defer stored.Close()
	body := cut(stored)
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	dot := s.w.Dot()
	part := *buf
	if want < 0 {
		part = part[:topBuffer]
	}
	for ; ; part = *buf {
		got, err := body.Read(part)
		if got > 0 {
			if _, err := dot.Write(part[:got]); err != nil {
				s.lost(err)
				return errCut
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return s.broken(n, err)
		}
	}
	err = dot.Finish(want)
	if errors.Is(err, wire.ErrSize) {
		return s.broken(n, err)
	}
	return nil
}

// broken logs why a message was broken off.
func (s *session) broken(n int, err error) error {
	s.why = "message broken off"
	s.log.Error("message broken off, connection cut", "user", s.account.Name,
		"message", n, "uid", s.msgs.uid(n), "error", pop3.Sanitize(err.Error()))
	return errCut
}
