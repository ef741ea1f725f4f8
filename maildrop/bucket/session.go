package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var _ maildrop.Peeker = (*session)(nil)

// session is a maildrop as it stood when it was opened.
type session struct {
	store *Store
	place
	lease  *lease // nil until the lock is taken
	all    []message
	list   []maildrop.Message
	closed bool

	importing string         // the key that says so, of those of lease.unsettled
	changed   bool           // messages were taken in since the generation was changed
	aside     []asideMessage // as Relist found them
	strays    []string       // markers without a message, as Relist found them
	overdue   bool           // the time of something that is aside is up
}

// Open implements maildrop.Store. A maildrop to which nothing was delivered
// yet is an empty one. With Options.Economy the lock is not taken here, but
// by the first call that reads or removes a message, or has to do with notes
// and what is aside: the error of that is then maildrop.ErrInUse.
func (s *Store) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	p, err := s.begin(ctx, name)
	if err != nil {
		return nil, err
	}
	ses := &session{store: s, place: p}
	var l *listing
	if s.economy {
		l, err = s.remembered(ctx, p)
	} else {
		l, err = ses.hold(ctx, "")
	}
	if err != nil {
		return nil, err
	}
	ses.take(l)
	return ses, nil
}

// take has the session see what a listing shows.
func (s *session) take(l *listing) {
	s.all, s.list = l.all, l.list
	now := s.store.now()
	s.overdue = len(l.strays) > 0 || slices.ContainsFunc(l.aside, func(a asideMessage) bool { return a.marker.over(now) })
}

// hold takes the session lock, and lists what begins with part.
func (s *session) hold(ctx context.Context, part string) (*listing, error) {
	if !s.store.claim(s.name) {
		return nil, fmt.Errorf("bucket: %s: %w", s.name, maildrop.ErrInUse)
	}
	l := s.store.newLease(s.place)
	found, err := l.announce(ctx, part)
	if err != nil {
		s.store.unclaim(s.name)
		return nil, err
	}
	s.lease = l
	l.start()
	return found, nil
}

// claim keeps sessions of one process apart without asking the store, so that
// of many at the same time one gets in. Unclaim ends it.
func (s *Store) claim(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name] {
		return false
	}
	s.held[name] = true
	return true
}

func (s *Store) unclaim(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, name)
}

// check tells what is wrong with a call that needs no lock of its own.
func (s *session) check(ctx context.Context) error {
	if s.closed {
		return errClosed
	}
	return ctx.Err()
}

// enter is check for a call that only the holder of the lock may make.
func (s *session) enter(ctx context.Context) error {
	if err := s.check(ctx); err != nil || s.lease != nil {
		return err
	}
	_, err := s.hold(ctx, locks)
	return err
}

// confirm makes sure that this session holds the lock for as long as a
// request may take.
func (s *session) confirm(ctx context.Context) error {
	return s.lease.confirm(ctx, min(s.store.timeout, s.store.lease/4))
}

// Messages implements maildrop.Maildrop.
func (s *session) Messages() []maildrop.Message { return s.list }

// Open implements maildrop.Maildrop. It asks for the message before it
// returns, so what cannot be had is known before the reply begins.
func (s *session) Open(ctx context.Context, i int) (io.ReadCloser, error) { return s.read(ctx, i, 0) }

// peekSize is what TOP asks for first: header and some lines, mostly.
const peekSize = 16 << 10

// Peek implements maildrop.Peeker: it asks for more and more of the message as
// it is read.
func (s *session) Peek(ctx context.Context, i int) (io.ReadCloser, error) {
	return s.read(ctx, i, peekSize)
}

func (s *session) read(ctx context.Context, i int, first int64) (io.ReadCloser, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	if i < 0 || i >= len(s.all) {
		return nil, errIndex(i)
	}
	m := &s.all[i]
	if m.sealed && first > 0 {
		first = headerSize + chunkSize + tagSize + 1 // less is of no use, and one octet more tells whether it is the last chunk
	}
	return s.store.read(ctx, s.place, m, first)
}

// Remove implements maildrop.Maildrop. Where the lease has ended meanwhile, it
// is taken again first; nothing is removed where another session has the lock.
// While an import has not ended, what is removed is kept aside.
func (s *session) Remove(ctx context.Context, marked []int) error {
	if err := s.check(ctx); err != nil || len(marked) == 0 {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	if !s.lease.settled() {
		return s.SetAside(ctx, marked, 0)
	}
	keys, err := s.keys(marked)
	if len(keys) == 0 {
		return err
	}
	return errors.Join(err, s.remove(ctx, keys, s.confirmSettled))
}

// keys gives the keys of messages.
func (s *session) keys(marked []int) (keys []string, err error) {
	var errs []error
	for _, i := range marked {
		if i < 0 || i >= len(s.all) {
			errs = append(errs, errIndex(i))
			continue
		}
		keys = append(keys, s.all[i].keys()...)
	}
	return keys, errors.Join(errs...)
}

// remove deletes objects, and then has all nodes list the maildrop anew.
// Confirm is asked before each request.
func (s *session) remove(ctx context.Context, keys []string, confirm func(context.Context) error) error {
	err := s.store.remove(ctx, s.place, keys, func() error { return confirm(ctx) })
	return errors.Join(err, s.store.touch(ctx, s.place))
}

// tidying is how long the end of a session takes at most for what was kept aside
// for long enough. What is left is for the next.
const tidying = 3 * time.Second

// Close implements maildrop.Maildrop. What was kept aside for long enough is
// removed. Where the store cannot be reached the lock stays until its lease
// ends.
func (s *session) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.lease != nil {
		if s.overdue && !s.lease.late() {
			ctx, cancel := context.WithTimeout(context.Background(), tidying) // somebody may wait for the reply to QUIT
			s.expireAside(ctx, s.store.now())
			cancel()
		}
		s.lease.end()
		s.store.unclaim(s.name)
	}
	return nil
}

// errIndex is the error for an index that no message has.
func errIndex(i int) error { return fmt.Errorf("bucket: no message with index %d", i) }
