package rounds

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// patience is how long a reply may take.
const patience = time.Minute

// sender is a connection of an MTA, which sends the same message again and
// again, as Postfix does: all commands up to DATA at once.
type sender struct {
	net.Conn
	r          *bufio.Reader
	commands   []byte
	message    []byte
	recipients int
}

// connect makes the senders of a case.
func connect(socket string, c Case) ([]*sender, error) {
	var all []*sender
	for i := range c.Senders {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		s := &sender{Conn: conn, r: bufio.NewReader(conn), message: message(), recipients: c.Recipients}
		all = append(all, s)
		var commands strings.Builder
		commands.WriteString("MAIL FROM:<sender@example.org>\r\n")
		for n := range c.Recipients {
			to := n
			if !c.Same && c.Recipients == 1 {
				to = i
			}
			fmt.Fprintf(&commands, "RCPT TO:<%s@example.org>\r\n", userName(to))
		}
		commands.WriteString("DATA\r\n")
		s.commands = []byte(commands.String())
		if err := s.greet(); err != nil {
			closeAll(all)
			return nil, err
		}
	}
	return all, nil
}

func closeAll(senders []*sender) {
	for _, s := range senders {
		s.Close()
	}
}

// message makes one, with the lines and the end of DATA.
func message() []byte {
	var b strings.Builder
	b.WriteString("From: <sender@example.org>\r\nSubject: a message to measure by\r\nMessage-ID: <1@example.org>\r\n\r\n")
	for b.Len() < Octets {
		b.WriteString("A line of sixty-odd octets, of which this message has many.\r\n")
	}
	b.WriteString(".\r\n")
	return []byte(b.String())
}

// greet begins the session.
func (s *sender) greet() error {
	if err := s.want("220", 1); err != nil {
		return err
	}
	if _, err := s.Write([]byte("LHLO bench.example.org\r\n")); err != nil {
		return err
	}
	return s.want("250", 1)
}

// deliver has every sender deliver until that moment, or that many messages,
// and adds how long each took.
func deliver(ctx context.Context, senders []*sender, until time.Time, most int, took *[]time.Duration) error {
	var wait sync.WaitGroup
	errs := make(chan error, len(senders))
	var mu sync.Mutex
	for _, s := range senders {
		wait.Go(func() {
			var own []time.Duration
			for n := 0; ctx.Err() == nil && time.Now().Before(until) && (most == 0 || n < most); n++ {
				begun := time.Now()
				if err := s.one(); err != nil {
					errs <- err
					return
				}
				own = append(own, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			if took != nil {
				*took = append(*took, own...)
			}
		})
	}
	wait.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return ctx.Err()
	}
}

// one delivers one message.
func (s *sender) one() error {
	s.SetDeadline(time.Now().Add(patience))
	if _, err := s.Write(s.commands); err != nil {
		return err
	}
	if err := s.want("250", 1+s.recipients); err != nil {
		return err
	}
	if err := s.want("354", 1); err != nil {
		return err
	}
	if _, err := s.Write(s.message); err != nil {
		return err
	}
	return s.want("250", s.recipients)
}

// want reads replies with that code.
func (s *sender) want(code string, n int) error {
	for n > 0 {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("LMTP: %w", err)
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("the server said %q", line)
		}
		if line[3] != '-' {
			n--
		}
	}
	return nil
}
