package rounds

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// perSession bounds how many messages a session of poll retrieves: a server
// that lives for a moment must see QUIT too.
const perSession = 40

// poll holds one session after the other until the server is gone. Its error
// is that. Some sessions mark messages and end without QUIT.
func (b *books) poll(ctx context.Context, s *server, user int, numbers *rand.Rand) error {
	for {
		err := b.session(ctx, s, user, func(c *pop3client.Client) error {
			copies, marks, err := b.fetch(ctx, c, user, 1+numbers.IntN(perSession))
			if err != nil {
				return err
			}
			if err := c.Dele(ctx, marks...); err != nil {
				return err
			}
			if numbers.IntN(8) == 0 {
				return nil
			}
			return b.leave(ctx, c, copies)
		})
		if err != nil {
			return err
		}
	}
}

// drain empties a maildrop and settles its books.
func (b *books) drain(ctx context.Context, s *server, user int) error {
	found := make(map[*copyOf]bool)
	err := b.session(ctx, s, user, func(c *pop3client.Client) error {
		copies, marks, err := b.fetch(ctx, c, user, -1)
		if err != nil {
			return err
		}
		if err := c.Dele(ctx, marks...); err != nil {
			return err
		}
		for _, copy := range copies {
			found[copy] = true
		}
		return b.leave(ctx, c, copies)
	})
	if err == nil {
		b.settle(user, found)
	}
	return err
}

// session logs in, and closes the connection behind what f does.
func (b *books) session(ctx context.Context, s *server, user int, f func(*pop3client.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c, err := pop3client.Dial(ctx, s.pop3s, &pop3client.Options{
			TLSConfig:  &tls.Config{InsecureSkipVerify: true}, // it made its certificate itself
			Mechanisms: []string{"PLAIN"},                     // the cheapest
		})
		if err != nil {
			return fmt.Errorf("POP3: %w", err)
		}
		if err = c.Login(ctx, userName(user), password); err == nil {
			err = f(c)
		}
		c.Abort() // does nothing after QUIT
		var refused *pop3.Error
		if errors.As(err, &refused) && refused.Code == pop3.InUse {
			continue // the session before, cut without QUIT, is not done with yet
		}
		if err != nil {
			return fmt.Errorf("POP3: %w", err)
		}
		return nil
	}
}

// fetch retrieves up to that many messages, all below zero, and enters them.
// It gives the copies, each once, and the numbers of all messages that came.
func (b *books) fetch(ctx context.Context, c *pop3client.Client, user, most int) (copies []*copyOf, marks []int, err error) {
	uids, err := c.Uidl(ctx)
	if err != nil {
		return nil, nil, err
	}
	listings, err := c.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	opts := pop3client.RetrieveOptions{Listings: listings, UIDs: uids, Numbers: []int{}}
	for _, uid := range uids {
		if len(opts.Numbers) != most {
			opts.Numbers = append(opts.Numbers, uid.Number)
		}
	}
	var message bytes.Buffer
	here := make(map[*copyOf]string)
	for m, err := range c.RetrieveAll(ctx, opts) {
		if err != nil {
			return nil, nil, err
		}
		message.Reset()
		if _, err := m.WriteTo(&message); err != nil {
			return nil, nil, err
		}
		marks = append(marks, m.Number)
		entered := b.retrieved(user, m.UID, message.Bytes())
		if entered == nil {
			continue
		}
		if other, twice := here[entered]; twice {
			b.mu.Lock()
			b.twice(entered, "a message of %s is there as %s and as %s", userName(user), other, m.UID)
			b.mu.Unlock()
			continue
		}
		here[entered] = m.UID
		copies = append(copies, entered)
	}
	return copies, marks, nil
}

// leave sends QUIT and enters what came of it.
func (b *books) leave(ctx context.Context, c *pop3client.Client, copies []*copyOf) error {
	b.quitting(copies)
	err := c.Quit(ctx)
	var failed *pop3client.QuitError
	switch {
	case err == nil:
		b.quit(copies, true)
	case errors.As(err, &failed) && failed.Deletion == pop3client.NothingDeleted:
		b.quit(copies, false)
	}
	return err
}
