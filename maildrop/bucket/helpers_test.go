package bucket_test

import (
	"context"
	"io"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// slowList makes listings and gives them later, with the date of then.
type slowList struct {
	bucket.Engine
	wait time.Duration
}

func (s *slowList) List(ctx context.Context, name, prefix, after string, most int) (*bucket.Page, error) {
	p, err := s.Engine.List(ctx, name, prefix, after, most)
	if err == nil {
		time.Sleep(s.wait)
		p.Date = time.Now()
	}
	return p, err
}

// stalling gives bodies that give nothing behind their first 5,000 octets.
type stalling struct{ bucket.Engine }

func (s *stalling) Get(ctx context.Context, name, key string, how bucket.How) (*bucket.Object, error) {
	o, err := s.Engine.Get(ctx, name, key, how)
	if err == nil {
		o.Body = &stalled{o.Body, ctx, 5000}
	}
	return o, err
}

type stalled struct {
	io.ReadCloser
	ctx  context.Context
	left int
}

func (s *stalled) Read(p []byte) (int, error) {
	if s.left == 0 {
		<-s.ctx.Done()
		return 0, s.ctx.Err()
	}
	n, err := s.ReadCloser.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}
