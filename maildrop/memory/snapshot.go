package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/poplin-mail/poplin/maildrop"
)

// snapshot is a drop as it stood when it was opened.
type snapshot struct {
	drop     *drop
	messages []*message
	list     []maildrop.Message
	closed   bool
}

// Messages implements maildrop.Maildrop.
func (s *snapshot) Messages() []maildrop.Message { return s.list }

// Open implements maildrop.Maildrop.
func (s *snapshot) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case s.closed:
		return nil, errClosed
	case i < 0 || i >= len(s.messages):
		return nil, fmt.Errorf("memory: no message with index %d", i)
	}
	s.drop.mu.Lock()
	defer s.drop.mu.Unlock()
	if !slices.Contains(s.drop.messages, s.messages[i]) {
		return nil, fmt.Errorf("memory: message %s: %w", s.list[i].UID, maildrop.ErrGone)
	}
	return io.NopCloser(bytes.NewReader(s.messages[i].content)), nil
}

// Remove implements maildrop.Maildrop.
func (s *snapshot) Remove(ctx context.Context, marked []int) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.closed {
		return errClosed
	}
	var errs []error
	going := make(map[*message]bool, len(marked))
	for _, i := range marked {
		if i < 0 || i >= len(s.messages) {
			errs = append(errs, fmt.Errorf("memory: no message with index %d", i))
			continue
		}
		going[s.messages[i]] = true
	}
	s.drop.mu.Lock()
	defer s.drop.mu.Unlock()
	s.drop.messages = slices.DeleteFunc(s.drop.messages, func(m *message) bool { return going[m] })
	return errors.Join(errs...)
}

// Close implements maildrop.Maildrop.
func (s *snapshot) Close() error {
	s.drop.mu.Lock()
	defer s.drop.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.drop.held = false
	}
	return nil
}
