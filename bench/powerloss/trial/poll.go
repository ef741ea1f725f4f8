package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// login begins a session.
func login(ctx context.Context, s *server, user int) (*pop3client.Client, error) {
	for {
		c, err := pop3client.DialInsecure(ctx, s.pop3, &pop3client.Options{InsecureAuth: true, Mechanisms: []string{"PLAIN"}})
		if err != nil {
			return nil, fmt.Errorf("POP3: %w", err)
		}
		err = c.Login(ctx, userName(user), password)
		if err == nil {
			return c, nil
		}
		c.Abort()
		var refused *pop3.Error
		if errors.As(err, &refused) && refused.Code == pop3.InUse {
			continue // the session before, cut without QUIT, is not done with yet
		}
		return nil, fmt.Errorf("POP3: %w", err)
	}
}

// retrieve retrieves up to that many messages, all below zero, and gives the
// copies and their numbers. One that is torn is an error.
func retrieve(ctx context.Context, c *pop3client.Client, user, most int) (keys []copyKey, marks []int, err error) {
	listings, err := c.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	opts := pop3client.RetrieveOptions{Listings: listings, Numbers: []int{}}
	for _, listed := range listings {
		if len(opts.Numbers) != most {
			opts.Numbers = append(opts.Numbers, listed.Number)
		}
	}
	var message bytes.Buffer
	for m, err := range c.RetrieveAll(ctx, opts) {
		if err != nil {
			return nil, nil, err
		}
		message.Reset()
		if _, err := m.WriteTo(&message); err != nil {
			return nil, nil, err
		}
		id, whole, _ := readLetter(message.Bytes())
		if !whole {
			return nil, nil, fmt.Errorf("message %d of %s came torn", id, userName(user))
		}
		keys = append(keys, copyKey{user, id})
		marks = append(marks, m.Number)
	}
	return keys, marks, nil
}

// perSession bounds how many messages a session retrieves.
const perSession = 20

// poll holds a session that removes some messages. Some sessions mark messages
// and end without QUIT.
func (b *books) poll(ctx context.Context, s *server, user int, numbers *rand.Rand) error {
	c, err := login(ctx, s, user)
	if err != nil {
		return err
	}
	defer c.Abort() // does nothing after QUIT
	keys, marks, err := retrieve(ctx, c, user, numbers.IntN(perSession))
	if err != nil {
		return err
	}
	if err := c.Dele(ctx, marks...); err != nil {
		return err
	}
	if numbers.IntN(8) == 0 {
		return nil
	}
	b.quitting(keys, b.log.Len())
	if err := c.Quit(ctx); err != nil {
		return err
	}
	b.quit(keys, b.log.Len())
	return nil
}
