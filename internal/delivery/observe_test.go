package delivery

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

// tally is an Observer that counts.
type tally struct {
	mu                  sync.Mutex
	delivered, messages int
	octets              int64
	refused             map[string]int
}

func (c *tally) Delivered(octets int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delivered++
	c.octets += octets
}

func (c *tally) Refused(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[reason]++
}

func (c *tally) Took(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d > 0 {
		c.messages++
	}
}

// failing is a store on a disk that fails.
type failing struct{ *memory.Store }

// Distribute implements maildrop.Distributor.
func (failing) Distribute(context.Context, []maildrop.Recipient, io.Reader) ([]maildrop.Outcome, error) {
	return []maildrop.Outcome{{Err: errors.Join(maildrop.ErrTemporary, errors.New("the disk is full"))}}, nil
}

func TestObserver(t *testing.T) {
	c := &tally{refused: map[string]int{}}
	p := newPost(t, users, Options{MaxMessage: 1000, Agent: &Agent{Store: memory.New(), Observer: c}})
	m := p.dial()
	m.send("LHLO x\r\nMAIL FROM:<> SIZE=1001\r\nMAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\n")
	m.expect("250", "552", "250", "550")
	m.send("RCPT TO:<anna@example.org>\r\nRCPT TO:<anna+x@example.org>\r\nRCPT TO:<bert@example.org>\r\nRCPT TO:<carl@example.org>\r\nDATA\r\n")
	m.expect("250", "250", "250", "250", "354")
	m.send(string(make([]byte, 500)) + "\r\n.\r\n")
	m.expect("250", "250", "250", "452")
	m.send("MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n")
	m.expect("250", "250", "354")
	m.send(string(make([]byte, 1001)) + "\r\n.\r\n")
	m.expect("552")
	m.send("MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n")
	m.expect("250", "250", "354")
	m.send("broken off\r\n")
	m.Close()
	f := newPost(t, users, Options{Agent: &Agent{Store: failing{}, Observer: c}})
	m = f.dial()
	m.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nx\r\n.\r\n")
	m.expect("250", "250", "250", "354", "451")

	p.Shutdown(t.Context())
	f.Shutdown(t.Context())
	want := map[string]int{reasonNoUser: 1, reasonOverQuota: 1, reasonTooLarge: 2, reasonStorage: 1, reasonOther: 1}
	if !maps.Equal(c.refused, want) || c.delivered != 2 || c.octets < 1000 || c.messages != 2 {
		t.Errorf("counted are %d deliveries of %d octets, %d messages, %v, want %v", c.delivered, c.octets, c.messages, c.refused, want)
	}
}
