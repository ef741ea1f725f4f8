package figures

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// message makes one of that many octets, in the form that follows DATA.
func message(octets int) []byte {
	var b bytes.Buffer
	b.WriteString("Subject: a message\r\n\r\n")
	for i := 0; b.Len() < octets; i++ {
		fmt.Fprintf(&b, "This is line %8d of a message that nobody will read, as so many.\r\n", i)
	}
	b.WriteString(".\r\n")
	return b.Bytes()
}

// lmtp is a connection to an LMTP server.
type lmtp struct {
	net.Conn
	r *bufio.Reader
}

func dialLMTP(ctx context.Context, addr string) (*lmtp, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(10 * time.Minute))
	c := &lmtp{conn, bufio.NewReader(conn)}
	if err = c.want("220"); err == nil {
		err = c.say("LHLO bench.example.org\r\n", "250")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// send delivers a message.
func (c *lmtp) send(user string, data []byte) error {
	for _, step := range []struct{ line, code string }{
		{"MAIL FROM:<sender@example.org>\r\n", "250"}, {"RCPT TO:<" + user + "@example.org>\r\n", "250"}, {"DATA\r\n", "354"}, {string(data), "250"},
	} {
		if err := c.say(step.line, step.code); err != nil {
			return err
		}
	}
	return nil
}

// say sends a line and reads a reply, which must have that code.
func (c *lmtp) say(line, code string) error {
	if _, err := c.Write([]byte(line)); err != nil {
		return err
	}
	return c.want(code)
}

func (c *lmtp) want(code string) error {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("LMTP: %w", err)
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("LMTP: the server said %q", line)
		}
		if len(line) > 3 && line[3] == ' ' {
			return nil
		}
	}
}

// deliver delivers one message.
func deliver(ctx context.Context, addr, user string, data []byte) error {
	c, err := dialLMTP(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.send(user, data)
}
