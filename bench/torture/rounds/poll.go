package rounds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// perSession bounds how many messages a session of poll retrieves; most take
// less: a server that lives for a moment must see QUIT too.
const perSession = 40

// poll holds one session after the other until the server is gone. Its error
// is that. A session marks some of what it retrieved; one of eight ends
// without QUIT, and another takes its marks back before QUIT.
func (b *books) poll(ctx context.Context, s *server, user int, numbers *rand.Rand) error {
	for {
		err := b.session(ctx, s, user, func(l *login) error {
			got, err := b.fetch(ctx, l, 1+numbers.IntN(1+numbers.IntN(perSession)))
			if err != nil {
				return err
			}
			if b.idle > 0 && numbers.IntN(8) == 0 {
				s.await(time.Duration(numbers.Int64N(int64(b.idle))))
			}
			var marks []int
			var copies []*copyOf
			for _, f := range got {
				switch {
				case f.copy == nil:
					marks = append(marks, f.number)
				case numbers.IntN(4) > 0:
					marks, copies = append(marks, f.number), append(copies, f.copy)
				}
			}
			if err := l.Dele(ctx, marks...); err != nil {
				return err
			}
			switch numbers.IntN(8) {
			case 0:
				return nil
			case 1:
				if err := l.Rset(ctx); err != nil {
					return err
				}
				copies = nil
			}
			return b.leave(ctx, l, copies)
		})
		if err != nil {
			return err
		}
	}
}

// drain empties a maildrop and settles its books.
func (b *books) drain(ctx context.Context, s *server, user int) error {
	found := make(map[*copyOf]bool)
	err := b.session(ctx, s, user, func(l *login) error {
		got, err := b.fetch(ctx, l, -1)
		if err != nil {
			return err
		}
		var marks []int
		var copies []*copyOf
		for _, f := range got {
			marks = append(marks, f.number)
			if f.copy != nil {
				found[f.copy] = true
				copies = append(copies, f.copy)
			}
		}
		if err := l.Dele(ctx, marks...); err != nil {
			return err
		}
		return b.leave(ctx, l, copies)
	})
	if err == nil {
		b.settle(user, found)
	}
	return err
}

// login is a session that is logged in.
type login struct {
	*pop3client.Client
	user     int
	expected expectation
	held     *holder
}

// session logs in, and closes the connection behind what f does.
func (b *books) session(ctx context.Context, s *server, user int, f func(l *login) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		// In clear text: TLS would take most of the server's short life.
		c, err := pop3client.DialInsecure(ctx, s.pop3, &pop3client.Options{Mechanisms: []string{"PLAIN"}})
		if err != nil {
			return fmt.Errorf("POP3: %w", err)
		}
		l := &login{c, user, b.expected(user), b.arriving(s, user)}
		if err = c.Login(ctx, userName(user), password); err == nil {
			b.hold(l.held)
			err = f(l)
			b.letGo(l.held)
		}
		c.Abort() // does nothing after QUIT
		var refused *pop3.Error
		if errors.As(err, &refused) && refused.Code == pop3.InUse {
			// The session before, cut without QUIT, is not done with yet, or
			// there is one at another node.
			b.inUse()
			continue
		}
		if err != nil {
			return fmt.Errorf("POP3: %w", err)
		}
		return nil
	}
}

// fetched is a message that came. Its copy is nil where it is not as it should
// be, or came before in the session.
type fetched struct {
	number int
	copy   *copyOf
}

// fetch retrieves up to that many messages, all below zero, and enters them.
func (b *books) fetch(ctx context.Context, l *login, most int) ([]fetched, error) {
	uids, err := l.Uidl(ctx)
	if err != nil {
		return nil, err
	}
	listings, err := l.List(ctx)
	if err != nil {
		return nil, err
	}
	opts := pop3client.RetrieveOptions{Listings: listings, UIDs: uids, Numbers: []int{}}
	listed := make(map[string]bool, len(uids))
	for _, uid := range uids {
		listed[uid.UID] = true
		if len(opts.Numbers) != most {
			opts.Numbers = append(opts.Numbers, uid.Number)
		}
	}
	b.listed(l.user, l.expected, listed)
	var got []fetched
	var message bytes.Buffer
	here := make(map[*copyOf]string)
	for m, err := range l.RetrieveAll(ctx, opts) {
		if err != nil {
			return nil, err
		}
		message.Reset()
		if _, err := m.WriteTo(&message); err != nil {
			return nil, err
		}
		entered := b.retrieved(l.user, l.expected, m.UID, message.Bytes())
		if other, twice := here[entered]; entered != nil && twice {
			b.besides(l.user, entered, other, m.UID)
			entered = nil
		} else if entered != nil {
			here[entered] = m.UID
		}
		got = append(got, fetched{m.Number, entered})
	}
	return got, nil
}

// leave sends QUIT and enters what came of it.
func (b *books) leave(ctx context.Context, l *login, copies []*copyOf) error {
	b.letGo(l.held)
	b.quitting(copies)
	err := l.Quit(ctx)
	var failed *pop3client.QuitError
	switch {
	case err == nil:
		b.quit(copies, true)
		b.wasAlone(l.held)
	case errors.As(err, &failed) && failed.Deletion == pop3client.NothingDeleted:
		b.quit(copies, false)
	}
	return err
}
