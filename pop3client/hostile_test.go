package pop3client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// A server that answers commands which it never takes ends the loop all the
// same, and the session is broken.
func TestAnswersAheadOfCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() {
			r := bufio.NewReader(theirs)
			io.WriteString(theirs, "+OK ready\r\n")
			r.ReadString('\n') // CAPA
			io.WriteString(theirs, "+OK\r\nPIPELINING\r\n.\r\n")
			theirs.Read(make([]byte, 1)) // of the RETRs; the rest is not taken
			io.WriteString(theirs, "+OK\r\none\r\n.\r\n+OK\r\ntwo\r\n.\r\n")
		}()
		c, err := New(t.Context(), ours, insecure)
		must(t, err)
		defer c.Abort()
		opts := RetrieveOptions{Listings: []pop3.Listing{{Number: 1, Octets: 5}, {Number: 2, Octets: 5}}, UIDs: none}
		for m, err := range c.RetrieveAll(t.Context(), opts) {
			must(t, err)
			io.Copy(io.Discard, m)
		}
		var e *ProtocolError
		if err := c.Noop(t.Context()); !errors.As(err, &e) || !strings.Contains(e.Reason, "did not take") {
			t.Errorf("after it NOOP gives %v", err)
		}
	})
}

// timeless is a connection that knows no deadlines, as a channel of SSH.
type timeless struct{ net.Conn }

func (timeless) SetDeadline(time.Time) error      { return errors.New("no deadlines here") }
func (timeless) SetReadDeadline(time.Time) error  { return errors.New("no deadlines here") }
func (timeless) SetWriteDeadline(time.Time) error { return errors.New("no deadlines here") }

func TestConnectionWithoutDeadlines(t *testing.T) {
	for name, limit := range map[string]time.Duration{"context": time.Second, "time-out": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				go func() {
					io.WriteString(theirs, "+OK ready\r\n")
					io.Copy(io.Discard, theirs)
				}()
				c, err := New(t.Context(), timeless{ours}, insecure)
				must(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				start := time.Now()
				if err := c.Noop(ctx); err == nil {
					t.Error("an answer that never came is none")
				}
				if d := time.Since(start); d > 10*time.Second {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

func TestTwoGoroutinesDoNotRace(t *testing.T) {
	c := connectTo(t, func(verb string) string {
		if verb == "CAPA" {
			return "+OK\r\nPIPELINING\r\n.\r\n"
		}
		return "+OK\r\n"
	})
	var both sync.WaitGroup
	for _, call := range []func() error{
		func() error { _, err := c.Capa(t.Context()); return err },
		func() error { return c.Dele(t.Context(), 1, 2) },
	} {
		both.Go(func() {
			for range 200 {
				if err := call(); err != nil && !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
}

// connectTo makes a client of a server that answers each command by its verb.
func connectTo(t *testing.T, answer func(verb string) string) *Client {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		io.WriteString(theirs, "+OK ready\r\n")
		for lines := bufio.NewScanner(theirs); lines.Scan(); {
			verb, _, _ := strings.Cut(lines.Text(), " ")
			if _, err := io.WriteString(theirs, answer(verb)); err != nil {
				return
			}
		}
	}()
	c, err := New(t.Context(), ours, insecure)
	must(t, err)
	t.Cleanup(func() { c.Abort() })
	return c
}

func TestUniqueIDsDoNotHoldTheirLines(t *testing.T) {
	const count = 2000
	var all strings.Builder
	for n := range count {
		all.Write(pop3.UID{Number: n + 1, UID: "x"}.Append(nil))
		all.WriteString(" " + strings.Repeat("y", 1900) + "\r\n")
	}
	list := "+OK\r\n" + all.String() + ".\r\n"
	c := connectTo(t, func(string) string { return list })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	uids, err := c.Uidl(t.Context())
	must(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > count*500 {
		t.Errorf("%d unique-ids hold %d octets", len(uids), held)
	}
	runtime.KeepAlive(uids)
}

// A reply too many that comes late is found before anything is deleted.
func TestQuitListensFirst(t *testing.T) {
	ours, theirs := net.Pipe()
	sent := make(chan string, 1)
	go func() {
		r := bufio.NewReader(theirs)
		io.WriteString(theirs, "+OK ready\r\n")
		r.ReadString('\n')
		io.WriteString(theirs, "+OK\r\n")
		io.WriteString(theirs, "+OK once more\r\n")
		rest, _ := io.ReadAll(r)
		sent <- string(rest)
	}()
	c, err := New(t.Context(), ours, insecure)
	must(t, err)
	must(t, c.Dele(t.Context(), 1))
	time.Sleep(time.Millisecond)
	var q *QuitError
	if err := c.Quit(t.Context()); !errors.As(err, &q) || q.Deletion != NothingDeleted {
		t.Errorf("Quit: %v", err)
	}
	if rest := <-sent; rest != "" {
		t.Errorf("after a reply too many the client sent %q", rest)
	}
}

func TestSecretInAResponseCode(t *testing.T) {
	for _, reply := range []string{"[hunter2/x] no", "[HUNTER2] no", "no hunter2"} {
		var trace strings.Builder
		opts := *insecure
		opts.Trace = &trace
		c := connectWith(t, &opts, "C: PASS hunter2\nS: -ERR "+reply)
		err := c.Pass(t.Context(), "hunter2")
		if text := strings.ToLower(err.Error() + trace.String()); strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s", reply, text)
		}
	}
	c := connectWith(t, insecure, "C: PASS u\nS: -ERR [AUTH] no")
	if err := c.Pass(t.Context(), "u"); !strings.Contains(err.Error(), "[AUTH]") {
		t.Errorf("a short secret takes the code away: %v", err)
	}
}
