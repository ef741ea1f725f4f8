package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// perSession bounds how many messages a session of poll retrieves.
const perSession = 50

// poll holds one session after the other until ctx ends. One of eight ends
// without QUIT, one of eight takes its marks back before QUIT, and one of
// sixteen lasts for longer than a lease.
func (t *trial) poll(ctx context.Context, user int, numbers *rand.Rand) {
	for ctx.Err() == nil {
		s, err := t.enter(ctx, user)
		if err != nil {
			continue // somebody else was there all the time, or it is over
		}
		t.work(ctx, s, numbers)
		pause(ctx, within(numbers, 2*t.PollPause))
	}
}

// work is a session, once it has logged in. Where it breaks, that is what the
// trial is about.
func (t *trial) work(ctx context.Context, s *session, numbers *rand.Rand) {
	defer s.close()
	if err := s.retrieve(ctx, 1+numbers.IntN(1+numbers.IntN(perSession))); err != nil {
		return
	}
	if err := s.mark(func() bool { return numbers.IntN(5) > 0 }); err != nil {
		return
	}
	if numbers.IntN(16) == 0 {
		until := time.Now().Add(t.Lease + t.Lease/2)
		for time.Now().Before(until) && ctx.Err() == nil {
			pause(ctx, t.Lease/5)
			if s.noop() != nil {
				return
			}
		}
	}
	switch numbers.IntN(8) {
	case 0:
		return
	case 1:
		if s.reset() != nil {
			return
		}
	}
	s.quit()
}

// session is a POP3 session that has logged in.
type session struct {
	*trial
	c       *pop3client.Client
	user    int
	node    string
	hold    *hold
	ctx     context.Context // bounds the session
	cancel  context.CancelFunc
	uids    []string // that are listed
	got     []fetched
	marked  []string // unique-ids
	refused int      // messages
}

// fetched is a message that came.
type fetched struct {
	number int
	uid    string
}

// errTurnedAway says that nobody could get in for long.
var errTurnedAway = errors.New("logins failed for too long")

// enter logs in, again and again until it can, and lists.
func (t *trial) enter(ctx context.Context, user int) (*session, error) {
	begun := time.Now()
	for {
		s, err := t.login(user)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if time.Since(begun) > t.Patience {
			return nil, fmt.Errorf("%w (%s): %w", errTurnedAway, t.Users[user], err)
		}
		pause(ctx, t.PollPause/2)
	}
}

// login tries once.
func (t *trial) login(user int) (_ *session, err error) {
	s := &session{trial: t, user: user}
	s.ctx, s.cancel = context.WithTimeout(t.run, t.Patience)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	// In clear text: TLS is not what is tried, and takes time.
	s.c, err = pop3client.DialInsecure(s.ctx, t.POP3, &pop3client.Options{Mechanisms: []string{"USER"}, Timeout: t.Patience})
	if err != nil {
		return nil, err
	}
	s.node = t.node(s.c.Greeting())
	e := t.books.expected(user)
	sent := time.Now()
	err = s.c.Login(s.ctx, t.Users[user], t.Password)
	granted := time.Now()
	t.spans.login(granted.Sub(sent))
	if err != nil {
		var refused *pop3.Error
		t.books.login(errors.As(err, &refused) && refused.Code == pop3.InUse)
		t.holders.refused(user, sent)
		return nil, err
	}
	s.hold = t.holders.login(user, s.node, sent, granted)
	t.spans.out(s.hold.out)
	if s.uids, err = s.list(s.ctx); err != nil {
		return nil, s.broken(err)
	}
	t.books.listed(user, e, s.uids, sent)
	return s, nil
}

func (s *session) list(ctx context.Context) (uids []string, err error) {
	sent := time.Now()
	all, err := s.c.Uidl(ctx)
	if err != nil {
		return nil, err
	}
	s.holders.alive(s.hold, sent)
	for i, u := range all {
		if u.Number != i+1 {
			return nil, fmt.Errorf("UIDL gives number %d as the %dth", u.Number, i+1)
		}
		uids = append(uids, u.UID)
	}
	return uids, nil
}

// broken enters that the connection broke.
func (s *session) broken(err error) error {
	if err != nil && !isReply(err) {
		s.holders.cut(s.hold, time.Now())
	}
	return err
}

// isReply tells whether the server has refused, and the session goes on.
func isReply(err error) bool { return errors.As(err, new(*pop3.Error)) }

// retrieve retrieves so many messages, all below zero, and enters them. One
// that is refused is left out.
// is left out, and counted.
func (s *session) retrieve(ctx context.Context, most int) error {
	var octets bytes.Buffer
	for i, uid := range s.uids {
		if i == most {
			break
		}
		sent := time.Now()
		m, err := s.c.Retr(s.ctx, i+1)
		if err == nil {
			octets.Reset()
			_, err = m.WriteTo(&octets)
		}
		if isReply(err) {
			s.refused++
			continue
		}
		if err != nil {
			return s.broken(err)
		}
		s.holders.alive(s.hold, sent)
		s.books.retrieved(s.user, uid, octets.Bytes())
		s.got = append(s.got, fetched{i + 1, uid})
		if ctx.Err() != nil && most >= 0 {
			break
		}
	}
	return nil
}

// mark marks some of what was retrieved.
func (s *session) mark(choose func() bool) error {
	var numbers []int
	for _, f := range s.got {
		if choose() {
			numbers, s.marked = append(numbers, f.number), append(s.marked, f.uid)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	sent := time.Now()
	if err := s.c.Dele(s.ctx, numbers...); err != nil {
		return s.broken(err)
	}
	s.holders.alive(s.hold, sent)
	return nil
}

func (s *session) reset() error {
	sent := time.Now()
	if err := s.c.Rset(s.ctx); err != nil {
		return s.broken(err)
	}
	s.holders.alive(s.hold, sent)
	s.marked = nil
	return nil
}

func (s *session) noop() error {
	sent := time.Now()
	if err := s.c.Noop(s.ctx); err != nil {
		return s.broken(err)
	}
	s.holders.alive(s.hold, sent)
	return nil
}

// quit sends QUIT and enters what came of it.
func (s *session) quit() error {
	s.books.quitting(s.user, s.marked)
	sent := time.Now()
	s.holders.end(s.hold, sent)
	err := s.c.Quit(s.ctx)
	answered := time.Now()
	if err == nil {
		s.typical.quit(answered.Sub(sent))
		if len(s.marked) > 0 {
			s.holders.removed(s.hold, sent, answered)
		}
		s.holders.alive(s.hold, sent)
		s.books.quit(s.user, s.marked, answered)
		return nil
	}
	s.broken(err)
	return err
}

// close ends the session, without QUIT if none was sent.
func (s *session) close() {
	if s.hold != nil {
		if s.holders.suspected(s.hold) {
			s.noop() // is it alive? Behind QUIT this does nothing
		}
		s.holders.end(s.hold, time.Now())
	}
	if s.c != nil {
		s.c.Abort() // does nothing after QUIT
	}
	s.cancel()
}

// node gives the name of the node that sent a greeting.
func (t *trial) node(greeting string) string {
	for _, n := range t.Nodes {
		if strings.Contains(greeting, n.Name()) {
			return n.Name()
		}
	}
	return ""
}
