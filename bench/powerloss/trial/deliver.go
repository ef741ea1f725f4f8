package trial

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// lmtp is a connection to an LMTP server.
type lmtp struct {
	net.Conn
	r *bufio.Reader
}

// dialLMTP connects and greets.
func dialLMTP(s *server) (*lmtp, error) {
	conn, err := net.Dial("unix", s.lmtp)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	c := &lmtp{conn, bufio.NewReader(conn)}
	if err = c.want("220", 1); err == nil {
		if _, err = c.Write([]byte("LHLO powerloss.example.org\r\n")); err == nil {
			err = c.want("250", 1)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
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

// want reads replies with that code.
func (c *lmtp) want(code string, n int) error {
	for range n {
		reply, err := c.reply()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(reply, code+" ") {
			return fmt.Errorf("LMTP: the server said %q", reply)
		}
	}
	return nil
}

// accepts tells whether a reply acknowledges a delivery.
func accepts(reply string) bool { return strings.HasPrefix(reply, "250 ") }

// send sends a message, and calls each with the replies in turn.
func (c *lmtp) send(letter []byte, to []int, each func(i int, reply string)) error {
	var commands strings.Builder
	commands.WriteString("MAIL FROM:<sender@example.org>\r\n")
	for _, user := range to {
		fmt.Fprintf(&commands, "RCPT TO:<%s>\r\n", userName(user))
	}
	commands.WriteString("DATA\r\n")
	if _, err := c.Write([]byte(commands.String())); err != nil {
		return err
	}
	if err := c.want("250", 1+len(to)); err != nil {
		return err
	}
	if err := c.want("354", 1); err != nil {
		return err
	}
	if _, err := c.Write(sent(letter)); err != nil {
		return err
	}
	for i := range to {
		reply, err := c.reply()
		if err != nil {
			return err
		}
		each(i, strings.TrimSpace(reply))
	}
	return nil
}

// newUserEvery is how many messages pass until there is mail for one user
// more: so Maildirs are made all the time.
const newUserEvery = 20

// deliver sends a message to one to three of the users, and enters each reply
// when its line has come to the end.
func (b *books) deliver(c *lmtp, numbers *rand.Rand) error {
	b.mu.Lock()
	most := min(users, 1+int(b.lastID)/newUserEvery)
	b.mu.Unlock()
	to := numbers.Perm(most)[:min(most, 1+numbers.IntN(3))]
	id := b.sending(to)
	return c.send(newLetter(id, numbers), to, func(i int, reply string) {
		b.answered(copyKey{to[i], id}, b.log.Len(), reply)
	})
}
