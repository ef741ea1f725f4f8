package delivery

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// TestEndings: only CRLF.CRLF ends DATA, whatever stands around it, and what
// stands behind it is no part of the message.
func TestEndings(t *testing.T) {
	for text, want := range map[string]string{
		"a\n.\nb":            "a\n.\nb\n",
		"a\r.\rb":            "a\r.\rb\n",
		"a\n.\r\nb":          "a\n.\nb\n",
		"a\r\n.\nb":          "a\n\nb\n",
		"a\r.\r\nb":          "a\r.\nb\n",
		"a\r\r\n..b":         "a\r\r\n.b\n",
		"a\r\r\n..\r\nb":     "a\r\r\n.\nb\n",
		"a\r\r\r\n..b":       "a\r\r\r\n.b\n",
		"a\r\r\n\r\r\n..b":   "a\r\r\n\r\r\n.b\n",
		"a\r\r\n..\rb":       "a\r\r\n.\rb\n",
		"":                   "\n",
		"..":                 ".\n",
		"a\r\r":              "a\r\r\r\n",
		"a\x00\r\n\x00.\r\n": "a\x00\n\x00.\n\n",
	} {
		p := newPost(t, users, Options{})
		c := p.dial()
		c.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n" + text + "\r\n.\r\n")
		c.expect("250", "250", "250", "354", "250")
		if got := p.mail("anna@example.org"); len(got) != 1 || body(got[0]) != want {
			t.Errorf("%q is delivered as %q, want %q", text, got, want)
		}
	}
}

// TestStrayDot: a dot that begins a line, is not doubled, and has a CR behind it
// ends nothing. No MTA sends it, and go-smtp loses the CR.
func TestStrayDot(t *testing.T) {
	p := newPost(t, users, Options{})
	c := p.dial()
	c.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\na\r\n.\r\r\nb\r\n.\r\nNOOP\r\n")
	c.expect("250", "250", "250", "354", "250 2.0.0 <anna@example.org>", "250 2.0.0 I have")
	if got := p.mail("anna@example.org"); len(got) != 1 || body(got[0]) != "a\n\r\nb\n" && body(got[0]) != "a\n\nb\n" {
		t.Errorf("delivered is %q", got)
	}
}

// TestLostEnding: CR CR LF before the last dot is a line end too. What was sent
// behind it is neither content nor obeyed, however much it is.
func TestLostEnding(t *testing.T) {
	for n := range 4 {
		p := newPost(t, users, Options{})
		c := p.dial()
		c.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\na\r\r\n.\r\n" +
			strings.Repeat("MAIL FROM:<>\r\nRCPT TO:<bert@example.org>\r\nDATA\r\nsmuggled\r\n.\r\n", n))
		c.expect("250", "250", "250", "354", "250")
		c.ended()
		if got := p.mail("anna@example.org"); len(got) != 1 || body(got[0]) != "a\r\r\n" {
			t.Errorf("delivered is %q", got)
		}
		if got := p.mail("bert@example.org"); len(got) != 0 {
			t.Errorf("what came behind the end was delivered: %q", got)
		}
	}
}

// oracle reads DATA as RFC 5321 section 4.5.2 says: lines end in CRLF and in
// nothing else, a dot alone is the end, and of others that begin a line the
// first goes. Strange is content that go-smtp changes: see TestStrayDot.
func oracle(data []byte) (content []byte, strange bool) {
	for {
		line, rest, found := bytes.Cut(data, []byte("\r\n"))
		if !found {
			panic("data without an end")
		}
		data = rest
		if string(line) == "." {
			return content, strange
		}
		strange = strange || bytes.HasPrefix(line, []byte(".\r"))
		content = append(append(content, bytes.TrimPrefix(line, []byte("."))...), "\r\n"...)
	}
}

// pipes is a listener whose connections are made in memory.
type pipes chan net.Conn

// Accept implements net.Listener.
func (p pipes) Accept() (net.Conn, error) {
	if nc, ok := <-p; ok {
		return nc, nil
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (p pipes) Close() error {
	close(p)
	return nil
}

// Addr implements net.Listener.
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// sink takes every message.
type sink chan string

// Deliver implements maildrop.Deliverer.
func (s sink) Deliver(ctx context.Context, name string, r io.Reader) (maildrop.Receipt, error) {
	content, err := io.ReadAll(r)
	if err == nil {
		s <- string(content)
	}
	return maildrop.Receipt{}, err
}

// Distribute implements maildrop.Distributor.
func (s sink) Distribute(ctx context.Context, to []maildrop.Recipient, r io.Reader) ([]maildrop.Outcome, error) {
	_, err := s.Deliver(ctx, "", r)
	return make([]maildrop.Outcome, len(to)), err
}

// Usage implements maildrop.Distributor.
func (s sink) Usage(context.Context, string) (maildrop.Usage, error) { return maildrop.Usage{}, nil }

// FuzzData compares what is delivered of DATA, and where it ends, with the
// oracle.
func FuzzData(f *testing.F) {
	for _, seed := range []string{"", ".", "..", "a\r\r\n", "a\r\r\n.", "a\r\r\n.\r\r\n.", "\n.\n", "\r.\r", "\r\n.\r\nb", "\r\r\r\n.\r\n", "a\r\r\n..\r", "\x00\xff\r\n.\n"} {
		f.Add([]byte(seed), uint8(0))
		f.Add([]byte(seed), uint8(1))
	}
	taken := make(sink, 1)
	p := newPost(f, users, Options{Agent: &Agent{Store: taken}})
	p.opts.Agent.Logger = slog.New(slog.DiscardHandler)
	l := make(pipes)
	p.serve(l)
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		data = append(bytes.Clone(data), "\r\n.\r\n"...)
		want, strange := oracle(data)
		client, server := net.Pipe()
		l <- server
		c := greeted(t, client)
		for _, command := range []string{"LHLO x", "MAIL FROM:<>", "RCPT TO:<anna@example.org>"} {
			c.send(command + "\r\n")
			c.expect("250")
		}
		c.send("DATA\r\n")
		c.expect("354")
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			size := len(data)
			if step > 0 {
				size = int(step)
			}
			for part := range slices.Chunk(data, size) {
				if _, err := client.Write(part); err != nil {
					return // the server has seen the end
				}
			}
		}()
		if strange { // there may be no reply
			go func() {
				<-sent
				client.Close()
			}()
			io.Copy(io.Discard, c.r)
			for p.Connections() > 0 {
				time.Sleep(time.Millisecond)
			}
			select {
			case <-taken:
			default:
			}
			return
		}
		got := <-taken
		c.expect("250 2.0.0 <anna@example.org>")
		client.Close()
		<-sent
		stored := regexp.MustCompile(`(^|[^\r])\r\n`).ReplaceAllString(string(want), "$1\n")
		stored = regexp.MustCompile(`\n\r\n`).ReplaceAllString(stored, "\n\n")
		if head, whole := strings.CutSuffix(got, stored); !whole || body(head) != "" {
			t.Errorf("of %q there is %q, want %q", data, got, stored)
		}
	})
}
