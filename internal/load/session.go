package load

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// Work is what a session does between login and QUIT.
type Work string

// The kinds of work.
const (
	Login    Work = "login"    // nothing
	Poll     Work = "poll"     // STAT and UIDL
	Top      Work = "top"      // the header of each message
	Retrieve Work = "retrieve" // each message
	Drain    Work = "drain"    // each message, and deletes it
	Idle     Work = "idle"     // holds the connection
)

// Works are all, in the order in which one destroys what the next one needs.
var Works = []Work{Login, Poll, Top, Retrieve, Idle, Drain}

// session is one login of one user.
type session struct {
	*run
	c *pop3client.Client
}

// uncancelled is the context of commands: a session ends early by Abort, so
// that no command has to watch for it. That is cheaper.
var uncancelled = context.Background()

// open connects and logs in. The session ends when ctx does; done must be
// called, and leaves it without QUIT unless there was one.
func (r *run) open(ctx context.Context, u User) (s session, done func(), err error) {
	begun := time.Now()
	c, err := r.Target.connect(ctx)
	if err != nil {
		return s, nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Abort() })
	done = func() { stop(); c.Abort() }
	connected := time.Now()
	if err := r.Target.login(uncancelled, c, u); err != nil {
		done()
		return s, nil, loginError{err}
	}
	if r.counting.Load() {
		r.connect.add(connected.Sub(begun))
		r.login.add(time.Since(connected))
	}
	return session{r, c}, done, nil
}

// once runs one session from connect to QUIT. It ends at the first error.
func (r *run) once(ctx context.Context, u User) error {
	begun := time.Now()
	s, done, err := r.open(ctx, u)
	if err != nil {
		return err
	}
	defer done()
	r.live.Add(1)
	defer r.live.Add(-1)
	deleted := 0
	switch r.Work {
	case Poll:
		err = s.poll()
	case Top, Retrieve:
		_, err = s.messages()
	case Drain:
		deleted, err = s.drain()
	}
	if err == nil {
		err = s.c.Quit(uncancelled)
	}
	if err == nil && r.counting.Load() {
		r.sessions.Add(1)
		r.deleted.Add(int64(deleted))
		r.session.add(time.Since(begun))
	}
	return err
}

func (s session) poll() error {
	if _, err := s.c.Stat(uncancelled); err != nil {
		return err
	}
	_, err := s.c.Uidl(uncancelled)
	return err
}

// messages reads every message, or its header, and gives what LIST said. It
// leaves out the rest when the run is closing.
func (s session) messages() ([]pop3.Listing, error) {
	list, err := s.c.List(uncancelled)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if s.Pipeline {
		return list, s.pipelined(list)
	}
	for _, l := range list {
		if s.closing.Load() {
			break
		}
		if err := s.one(l); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// one asks for one message and waits for it.
func (s session) one(l pop3.Listing) error {
	asked := time.Now()
	var m *pop3client.Message
	var err error
	if s.Work == Top {
		m, err = s.c.Top(uncancelled, l.Number, 0)
	} else {
		m, err = s.c.Retr(uncancelled, l.Number)
	}
	if err != nil {
		return err
	}
	if s.counting.Load() {
		s.first.add(time.Since(asked))
	}
	return s.discard(m, l.Octets)
}

// pipelined asks for the next messages while one is read. Of the first alone
// it can be said how long it took to come.
func (s session) pipelined(list []pop3.Listing) error {
	// Asked for here, so that no round trip of CAPA is in what is measured.
	if _, err := s.c.Capabilities(uncancelled); err != nil {
		return err
	}
	all := s.c.RetrieveAll
	if s.Work == Top {
		all = s.c.HeaderAll
	}
	asked, first := time.Now(), true
	for m, err := range all(uncancelled, pop3client.RetrieveOptions{Listings: list, UIDs: []pop3.UID{}}) {
		if err != nil {
			return err
		}
		if first && s.counting.Load() {
			s.first.add(time.Since(asked))
		}
		first = false
		if err := s.discard(m, m.Size); err != nil || s.closing.Load() {
			return err
		}
	}
	return nil
}

// discard reads a message to its final dot. The size that LIST announced is
// compared, but not held against a session: servers exist whose sizes are not
// exact.
func (s session) discard(m *pop3client.Message, announced int64) error {
	n, err := m.WriteTo(io.Discard)
	if err != nil {
		return err
	}
	if s.counting.Load() {
		s.received.Add(1)
		s.octets.Add(n)
		if s.Work != Top && n != announced {
			s.otherSize.Add(1)
		}
	}
	return nil
}

// errClosing ends a session that must not come to QUIT.
var errClosing = errors.New("the time is over")

// drain reads every message and marks it. QUIT deletes them. When the run is
// closing nothing is deleted: not every message may have been read.
func (s session) drain() (int, error) {
	if s.Pipeline {
		list, err := s.messages()
		if err == nil && s.closing.Load() {
			err = errClosing
		}
		if err != nil || len(list) == 0 {
			return 0, err
		}
		numbers := make([]int, len(list))
		for i, l := range list {
			numbers[i] = l.Number
		}
		return len(list), s.c.Dele(uncancelled, numbers...)
	}
	list, err := s.c.List(uncancelled)
	if err != nil {
		return 0, err
	}
	for _, l := range list {
		if s.closing.Load() {
			return 0, errClosing
		}
		if err := s.one(l); err != nil {
			return 0, err
		}
		if err := s.c.Dele(uncancelled, l.Number); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}
