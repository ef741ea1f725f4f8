package trial

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// mostAttempts bounds how often a message is sent: far more often than the
// store is away.
const mostAttempts = 200

// deliver sends messages by LMTP, one after the other, until ctx ends. The
// last one it sends to its end.
func (t *trial) deliver(ctx context.Context, numbers *rand.Rand) error {
	for ctx.Err() == nil {
		if err := t.message(numbers, nil); err != nil {
			return err
		}
		pause(ctx, within(numbers, 2*t.DeliveryPause))
	}
	return nil
}

// message sends a message to one to three users, again and again as an MTA
// does, until each has it. Struck, where it is not nil, is told the node when
// all of the first attempt has been sent and no reply was read.
func (t *trial) message(numbers *rand.Rand, struck func(node string)) error {
	to := numbers.Perm(len(t.Users))[:1+numbers.IntN(min(3, len(t.Users)))]
	l := letterOf{id: t.books.newMessage()}
	begun := time.Now()
	var last error
	for l.attempt = 1; l.attempt <= mostAttempts; l.attempt++ {
		t.books.sending(l, to)
		sent := time.Now()
		replies, err := t.attempt(l, to, struck)
		struck = nil
		if err == nil {
			t.typical.delivery(time.Since(sent))
		}
		var left []int
		for i, user := range to {
			o := unanswered
			if i < len(replies) {
				if o = acknowledged; !strings.HasPrefix(replies[i], "250 ") {
					o = refused
					last = fmt.Errorf("LMTP: the server said %q", replies[i])
				}
			}
			t.books.answered(user, l, o)
			if o != acknowledged {
				left = append(left, user)
			}
		}
		if to = left; len(to) == 0 {
			t.spans.delivery(time.Since(begun))
			return nil
		}
		if err != nil {
			last = err
		}
		if t.run.Err() != nil {
			return t.run.Err()
		}
		pause(t.run, min(time.Duration(l.attempt)*50*time.Millisecond, time.Second))
	}
	return fmt.Errorf("a message was sent %d times, and not taken: %w", mostAttempts, last)
}

// attempt sends a message. It gives the replies that were whole.
func (t *trial) attempt(l letterOf, to []int, struck func(node string)) (replies []string, err error) {
	conn, err := net.DialTimeout("tcp", t.LMTP, t.Patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(t.run, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(t.Patience))
	c := &lmtp{conn, bufio.NewReader(conn)}
	greeting, err := c.reply()
	if err != nil || !strings.HasPrefix(greeting, "220 ") {
		return nil, errors.Join(err, fmt.Errorf("LMTP: the server greets with %q", greeting))
	}
	if err := c.command("250", 1, "LHLO bench.example.org\r\n"); err != nil {
		return nil, err
	}
	if err := c.command("250", 1, "MAIL FROM:<"+sender+">\r\n"); err != nil {
		return nil, err
	}
	for _, user := range to {
		if err := c.command("250", 1, "RCPT TO:<"+t.Users[user]+"@example.org>\r\n"); err != nil {
			return nil, err
		}
	}
	if err := c.command("354", 1, "DATA\r\n"); err != nil {
		return nil, err
	}
	if _, err := c.Write(stuffed(l.text(t.Seed))); err != nil {
		return nil, err
	}
	if struck != nil {
		struck(t.node(greeting))
	}
	for range to {
		reply, err := c.reply()
		if err != nil {
			return replies, err
		}
		replies = append(replies, reply)
	}
	c.Write([]byte("QUIT\r\n")) // whatever becomes of it: the replies are there
	return replies, nil
}

// lmtp is a connection to an LMTP server.
type lmtp struct {
	net.Conn
	r *bufio.Reader
}

// reply reads the last line of a reply, which must be whole.
func (c *lmtp) reply() (string, error) {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("LMTP: %w", err)
		}
		if len(line) < 4 || line[3] != '-' {
			return line, nil
		}
	}
}

// command sends a command and reads replies with that code.
func (c *lmtp) command(code string, replies int, line string) error {
	if _, err := c.Write([]byte(line)); err != nil {
		return err
	}
	for range replies {
		reply, err := c.reply()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(reply, code+" ") {
			return fmt.Errorf("LMTP: the server said %q to %q", reply, line)
		}
	}
	return nil
}

// pause waits that long, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
