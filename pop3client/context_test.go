package pop3client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// silent makes a client of a server that greets, follows a script, and then
// neither reads nor writes until the connection ends.
func silent(t *testing.T, opts *Options, script string) (*Client, chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- play(theirs, "S: +OK ready\n"+script) }()
	c, err := New(context.Background(), ours, opts)
	must(t, err)
	return c, done
}

// A context that ends while a command waits ends the command with the error of
// the context; the session is broken, and nothing stays behind.
func TestCancelEveryCommand(t *testing.T) {
	for name := range calls(nil, nil) {
		synctest.Test(t, func(t *testing.T) {
			c, done := silent(t, insecure, "C: "+name)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			err := calls(c, ctx)[name]()
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), strings.Fields(name)[0]) {
				t.Errorf("%s: %v, want the context's error", name, err)
			}
			wantBroken(t, c, err)
			must(t, <-done)
		})
	}
}

// Cancelled in the greeting, in a list, in a message, in a retrieval, in QUIT.
func TestCancelAtEachStep(t *testing.T) {
	const lists = "C: LIST\nS: +OK\nS: 1 5\nS: .\nC: UIDL\nS: +OK\nS: 1 a\nS: .\n"
	steps := map[string]struct {
		script string
		run    func(*Client, context.Context) error
	}{
		"list": {"C: LIST\nS: +OK\nS: 1 5", func(c *Client, ctx context.Context) error { _, err := c.List(ctx); return err }},
		"message": {"C: RETR 1\nS: +OK\nS: abc", func(c *Client, ctx context.Context) error {
			m, err := c.Retr(ctx, 1)
			if err == nil {
				_, err = io.ReadAll(m)
			}
			return err
		}},
		"close of a message": {"C: RETR 1\nS: +OK\nS: abc", func(c *Client, ctx context.Context) error {
			m, err := c.Retr(ctx, 1)
			if err == nil {
				err = m.Close()
			}
			return err
		}},
		"retrieval": {"C: CAPA\nS: -ERR\n" + lists + "C: RETR 1\nS: +OK\nS: abc", func(c *Client, ctx context.Context) error {
			return firstErrorOfAll(c, ctx)
		}},
		"retrieval that waits": {"C: CAPA\nS: -ERR\n" + lists + "C: RETR 1", func(c *Client, ctx context.Context) error {
			return firstErrorOfAll(c, ctx)
		}},
		"challenge": {saslCapa + "C: AUTH PLAIN AHUAcA==", func(c *Client, ctx context.Context) error { return c.Login(ctx, "u", "p") }},
	}
	for name, step := range steps {
		synctest.Test(t, func(t *testing.T) {
			c, done := silent(t, insecure, step.script)
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			err := step.run(c, ctx)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", name, err)
			}
			wantBroken(t, c, err)
			must(t, <-done)
		})
	}
}

func firstErrorOfAll(c *Client, ctx context.Context) error {
	return firstError(c, ctx, RetrieveOptions{})
}

// A context that has ended already sends nothing, and the session goes on; so
// does one that ends after its command.
func TestCancelledBefore(t *testing.T) {
	c := connect(t, "C: NOOP\nS: +OK\nC: NOOP\nS: +OK")
	ctx, cancel := context.WithCancel(t.Context())
	must(t, c.Noop(ctx))
	cancel()
	if err := c.Noop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	must(t, c.Noop(t.Context()))
	c = connect(t, "")
	var q *QuitError
	if err := c.Quit(ctx); !errors.As(err, &q) || q.Deletion != NothingDeleted || !errors.Is(err, context.Canceled) {
		t.Errorf("QUIT with a context that has ended: %v", err)
	}
	if err := c.Noop(t.Context()); err != ErrClosed {
		t.Errorf("after Quit: %v", err)
	}
}

func TestCancelInGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := New(ctx, ours, nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("New gives %v", err)
		}
		if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is not closed: %v", err)
		}
		ours, theirs = net.Pipe()
		defer theirs.Close()
		if _, err := New(ctx, ours, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("New with a context that has ended gives %v", err)
		}
	})
}

// A server that is silent for the time-out, in reading and in writing.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c, done := silent(t, &Options{}, "C: NOOP")
		err := c.Noop(context.Background())
		if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "no progress for 2m0s") {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(start); waited != DefaultTimeout {
			t.Errorf("waited %v, want %v", waited, DefaultTimeout)
		}
		wantBroken(t, c, err)
		must(t, <-done)

		ours, theirs := net.Pipe() // whose other end never reads
		defer theirs.Close()
		go io.WriteString(theirs, "+OK\r\n")
		c, err = New(context.Background(), ours, &Options{Timeout: time.Second})
		must(t, err)
		if err = c.Noop(context.Background()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// The time-out is about silence: a message that trickles in for an hour comes
// whole, and a pipelined one behind it, although its command was sent long ago.
func TestTimeoutIsAboutSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			io.WriteString(theirs, "+OK\r\n")
			theirs.Read(make([]byte, 100))
			io.WriteString(theirs, "+OK\r\n")
			for range 60 {
				time.Sleep(time.Minute)
				io.WriteString(theirs, "line\r\n")
			}
			io.WriteString(theirs, ".\r\n")
			go io.Copy(io.Discard, theirs)
			io.WriteString(theirs, "+OK\r\nb\r\n.\r\n+OK\r\nc\r\n.\r\n")
		}()
		c, err := New(context.Background(), ours, nil)
		must(t, err)
		c.caps, c.capsKnown = nil, true
		c.caps = append(c.caps, pipeliningCapability)
		got := ""
		for m, err := range c.RetrieveAll(context.Background(), RetrieveOptions{Numbers: []int{1, 2, 3}, Window: 2, Listings: empty, UIDs: none}) {
			must(t, err)
			text, err := io.ReadAll(m)
			must(t, err)
			got += string(text)
		}
		if want := strings.Repeat("line\r\n", 60) + "b\r\nc\r\n"; got != want {
			t.Errorf("got %q", got)
		}
		c.Abort()
		theirs.Close()
	})
}

// Two goroutines at once: one of them works and the others get ErrBusy; Abort
// ends what waits.
func TestTwoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, done := silent(t, insecure, "C: NOOP")
		results := make(chan error, 8)
		for range 8 {
			go func() { results <- c.Noop(context.Background()) }()
		}
		for range 7 {
			if err := <-results; err != ErrBusy {
				t.Errorf("error %v, want ErrBusy", err)
			}
		}
		synctest.Wait() // until the eighth waits for its reply
		must(t, c.Abort())
		must(t, c.Abort())
		if err := <-results; err != ErrClosed {
			t.Errorf("the call that waited gives %v, want ErrClosed", err)
		}
		must(t, <-done)
	})
}

// Abort while a message is read, with a context in force.
func TestAbortInMessage(t *testing.T) {
	c := connect(t, "C: RETR 1\nS: +OK\nS: a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m, err := c.Retr(ctx, 1)
	must(t, err)
	must(t, c.Abort())
	if _, err := io.ReadAll(m); err != ErrClosed {
		t.Errorf("reading gives %v, want ErrClosed", err)
	}
	if err := m.Close(); err != ErrClosed {
		t.Errorf("closing gives %v, want ErrClosed", err)
	}
}

// A context that ends just when its operation does interrupts nothing any more.
func TestInterruptTooLate(t *testing.T) {
	c := connect(t, "C: NOOP\nS: +OK\nC: NOOP\nS: +OK")
	must(t, c.begin(t.Context(), "STAT"))
	operation := c.base.operation
	c.end()
	c.base.interrupt(operation)
	if c.base.wasInterrupted() {
		t.Error("interrupted between operations")
	}
	must(t, c.Noop(t.Context()))
	must(t, c.begin(t.Context(), "STAT"))
	c.base.interrupt(operation)
	c.end()
	must(t, c.Noop(t.Context()))
}
