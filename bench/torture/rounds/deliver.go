package rounds

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// deliver sends messages by LMTP, one after the other on a connection, until
// the server is gone. Its error is that.
func (b *books) deliver(s *server, numbers *rand.Rand) error {
	conn, err := net.Dial("unix", s.lmtp)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	c := &lmtp{conn, bufio.NewReader(conn)}
	if err := c.want("220", 1); err != nil {
		return err
	}
	if _, err := c.Write([]byte("LHLO torture.example.org\r\n")); err != nil {
		return err
	}
	if err := c.want("250", 1); err != nil {
		return err
	}
	for {
		if err := b.deliverOne(c, numbers); err != nil {
			return err
		}
	}
}

// deliverOne sends a message to one to five of the users, and enters each
// reply when its line has come to the end.
func (b *books) deliverOne(c *lmtp, numbers *rand.Rand) error {
	to := numbers.Perm(maildrops)[:1+numbers.IntN(5)]
	id, copies := b.sending(to)
	var commands strings.Builder
	commands.WriteString("MAIL FROM:<sender@example.org>\r\n")
	for _, user := range to {
		fmt.Fprintf(&commands, "RCPT TO:<%s@torture.example.org>\r\n", userName(user))
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
	if _, err := c.Write(stuffed(newLetter(id, numbers))); err != nil {
		return err
	}
	for i := range to {
		reply, err := c.reply()
		if err != nil {
			return err
		}
		b.answered(copies[i], strings.HasPrefix(reply, "250 "))
	}
	return nil
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
