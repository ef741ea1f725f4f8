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

// check tells what is wrong with a call.
func (s *snapshot) check(ctx context.Context) error {
	if s.closed {
		return errClosed
	}
	return ctx.Err()
}

// Open implements maildrop.Maildrop.
func (s *snapshot) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if i < 0 || i >= len(s.messages) {
		return nil, errIndex(i)
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
	_, err := s.take(ctx, marked)
	return err
}

// take takes the messages marked out of the drop and gives them. Those that
// are not there any more are not given.
func (s *snapshot) take(ctx context.Context, marked []int) ([]*message, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	var errs []error
	going := make(map[*message]bool, len(marked))
	for _, i := range marked {
		if i < 0 || i >= len(s.messages) {
			errs = append(errs, errIndex(i))
			continue
		}
		going[s.messages[i]] = true
	}
	var taken []*message
	s.drop.mu.Lock()
	defer s.drop.mu.Unlock()
	s.drop.messages = slices.DeleteFunc(s.drop.messages, func(m *message) bool {
		if going[m] {
			taken = append(taken, m)
		}
		return going[m]
	})
	return taken, errors.Join(errs...)
}

// errIndex is the error for an index that no message has.
func errIndex(i int) error { return fmt.Errorf("memory: no message with index %d", i) }

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
