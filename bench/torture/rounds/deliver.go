package rounds

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// errBrokenOff says that a deliverer broke a message off.
var errBrokenOff = errors.New("LMTP: broken off")

// deliver sends messages by LMTP, with pauses up to that long in between, until
// the server is gone. Its error is that.
func (b *books) deliver(s *server, pause time.Duration, numbers *rand.Rand) error {
	for {
		if err := b.connect(s, pause, numbers); err != errBrokenOff {
			return err
		}
	}
}

// connect sends messages one after the other on a connection.
func (b *books) connect(s *server, pause time.Duration, numbers *rand.Rand) error {
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
		time.Sleep(time.Duration(numbers.Int64N(int64(pause))))
	}
}

// deliverOne sends a message to one to five of the users, and enters each
// reply when its line has come to the end. Some messages it breaks off.
func (b *books) deliverOne(c *lmtp, numbers *rand.Rand) error {
	to := numbers.Perm(maildrops)[:1+numbers.IntN(5)]
	id, copies := b.sending(to)
	var commands strings.Builder
	commands.WriteString("MAIL FROM:<" + sender + ">\r\n")
	for _, user := range to {
		fmt.Fprintf(&commands, "RCPT TO:<%s@example.org>\r\n", userName(user))
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
	data := stuffed(newLetter(id, numbers))
	if numbers.IntN(50) == 0 {
		b.brokenOff(copies)
		// At any octet before the last: without it the data has no end.
		if _, err := c.Write(data[:numbers.IntN(len(data))]); err != nil {
			return err
		}
		return errBrokenOff
	}
	if _, err := c.Write(data); err != nil {
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
