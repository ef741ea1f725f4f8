package pop3client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3"
)

// mailServer answers CAPA, LIST, UIDL, RETR, DELE and NOOP for n messages of
// some octets each, whatever is pipelined. Over a pipe it stands in a write
// until the client reads, as a server without buffers does. It keeps how many
// commands came before the first reply to RETR was taken.
type mailServer struct {
	n, octets  int
	pipelining bool
	fixed      string // the reply to every RETR, if not empty
}

func (s mailServer) body(i int) string {
	line := fmt.Sprintf("message %d\r\n", i)
	return line + strings.Repeat("x", max(0, s.octets-len(line)-2)) + "\r\n"
}

func (s mailServer) serve(conn net.Conn) error {
	defer conn.Close()
	r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
	w.WriteString("+OK ready\r\n")
	for {
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return nil
			}
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return nil
		}
		verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		var i int
		fmt.Sscan(arg, &i)
		switch {
		case verb == "CAPA" && s.pipelining:
			w.WriteString("+OK\r\nPIPELINING\r\n.\r\n")
		case verb == "CAPA":
			w.WriteString("+OK\r\n.\r\n")
		case verb == "LIST" || verb == "UIDL":
			w.WriteString("+OK\r\n")
			for i := range s.n {
				value := fmt.Sprint(s.octets)
				if verb == "UIDL" {
					value = fmt.Sprint("uid", i+1)
				}
				fmt.Fprintf(w, "%d %s\r\n", i+1, value)
			}
			w.WriteString(".\r\n")
		case verb == "RETR" && s.fixed != "":
			w.WriteString(s.fixed)
		case verb == "RETR" && i >= 1 && i <= s.n:
			w.WriteString("+OK\r\n" + s.body(i) + ".\r\n")
		case verb == "RETR" || verb == "DELE" && i > s.n:
			w.WriteString("-ERR no such message\r\n")
		default:
			w.WriteString("+OK\r\n")
		}
	}
}

// connectMail makes a client of such a server, over a pipe.
func connectMail(t testing.TB, s mailServer) *Client {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.serve(theirs) }()
	c, err := New(context.Background(), ours, insecure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Abort()
		<-done
	})
	return c
}

// Every message comes whole and in order, whatever the windows, and however
// much of each is read; and the session goes on. The pipe has no buffers: were
// commands written by whoever reads, this would stand still.
func TestRetrieveAllWindows(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		for _, opts := range []RetrieveOptions{{}, {Window: 1}, {Window: 3}, {WindowOctets: 1}, {WindowOctets: 2500}} {
			s := mailServer{n: 100, octets: 1000, pipelining: pipelining}
			c := connectMail(t, s)
			next := 1
			for m, err := range c.RetrieveAll(t.Context(), opts) {
				must(t, err)
				if m.Number != next || m.UID != fmt.Sprint("uid", next) || m.Size != 1000 {
					t.Fatalf("got message %d %s of %d octets, want %d", m.Number, m.UID, m.Size, next)
				}
				switch next % 4 {
				case 0: // nothing is read
				case 1:
					m.Read(make([]byte, 10))
				case 2:
					must(t, m.Close())
				case 3:
					if text, err := io.ReadAll(m); err != nil || string(text) != s.body(next) {
						t.Fatalf("message %d is %.40q, %v", next, text, err)
					}
				}
				next++
			}
			if next != 101 {
				t.Errorf("%d messages came", next-1)
			}
			must(t, c.Noop(t.Context()))
		}
	}
}

// The window bounds what is under way, by count and by octets.
func TestWindowBounds(t *testing.T) {
	c := connectMail(t, mailServer{n: 50, octets: 100, pipelining: true})
	must(t, c.begin(t.Context(), "RETR"))
	defer c.end()
	items := make([]item, 50)
	for i := range items {
		items[i] = item{number: i + 1, size: int64(i%3)*100 - 1} // -1, 99, 199
	}
	for _, limit := range []struct {
		count  int
		octets int64
	}{{1, 1000}, {4, 1 << 40}, {50, 1 << 62}, {50, 250}, {50, 1}} {
		p := c.newPipeline(series{verb: "DELE", most: math.MaxInt64}, items, limit.count, limit.octets)
		for {
			it, ok := p.next()
			if !ok {
				break
			}
			under := p.sent - p.done
			if under < 1 || under > limit.count || (under > 1 && p.ahead > limit.octets) {
				t.Errorf("window %v: %d under way with %d octets", limit, under, p.ahead)
			}
			_, err := c.status(p.name(it))
			must(t, err)
			p.answered()
		}
		if p.ahead != 0 || p.sent != 50 {
			t.Errorf("window %v: at the end %d sent, %d octets", limit, p.sent, p.ahead)
		}
		p.stop()
	}
}

// Some messages by number, one of which does not exist, with lists that the
// caller has.
func TestRetrieveNumbers(t *testing.T) {
	for _, test := range []struct {
		opts RetrieveOptions
		want string
	}{
		{RetrieveOptions{}, "3 uid3 100; 9  no such message; 1 uid1 100; "},
		{RetrieveOptions{Listings: []pop3.Listing{}, UIDs: []pop3.UID{}}, "3  -1; 9  no such message; 1  -1; "},
		{RetrieveOptions{Listings: []pop3.Listing{{Number: 3, Octets: 7}}}, "3 uid3 7; 9  no such message; 1 uid1 -1; "},
		{RetrieveOptions{UIDs: []pop3.UID{{Number: 1, UID: "x"}}}, "3  100; 9  no such message; 1 x 100; "},
	} {
		c := connectMail(t, mailServer{n: 5, octets: 100, pipelining: true})
		test.opts.Numbers = []int{3, 9, 1}
		var got strings.Builder
		for m, err := range c.RetrieveAll(t.Context(), test.opts) {
			var one *MessageError
			switch {
			case errors.As(err, &one):
				var e *pop3.Error
				errors.As(err, &e)
				fmt.Fprintf(&got, "%d %s %s; ", one.Number, one.UID, e.Text)
			case err != nil:
				t.Fatal(err)
			default:
				fmt.Fprintf(&got, "%d %s %d; ", m.Number, m.UID, m.Size)
			}
		}
		if got.String() != test.want {
			t.Errorf("got %q, want %q", got.String(), test.want)
		}
		must(t, c.Noop(t.Context()))
	}
}

// Leaving the loop early reads what is under way and the session goes on, or,
// where that is more than the window, breaks it.
func TestRetrieveAllLeft(t *testing.T) {
	for _, read := range []bool{true, false} {
		c := connectMail(t, mailServer{n: 100, octets: 1000, pipelining: true})
		for m, err := range c.RetrieveAll(t.Context(), RetrieveOptions{Window: 10, Numbers: []int{1, 2, 999, 3, 4, 5, 6}}) {
			must(t, err)
			if read {
				io.Copy(io.Discard, m)
			}
			if m.Number == 2 {
				break
			}
		}
		must(t, c.Noop(t.Context()))
	}
	c := connectMail(t, mailServer{n: 2, octets: 100, pipelining: true})
	for _, err := range c.RetrieveAll(t.Context(), RetrieveOptions{Numbers: []int{9, 1, 2}}) {
		if err == nil {
			t.Error("message 9 came")
		}
		break
	}
	must(t, c.Noop(t.Context()))

	c = connectMail(t, mailServer{n: 100, octets: 1 << 20, pipelining: true})
	for _, err := range c.RetrieveAll(t.Context(), RetrieveOptions{WindowOctets: 3000}) {
		must(t, err)
		break
	}
	if err := c.Noop(t.Context()); !errors.Is(err, errTooMuch) {
		t.Errorf("after leaving a large message: %v", err)
	}
}

// A panic, runtime.Goexit, and Abort in the body: nothing stays behind and the
// session is broken.
func TestRetrieveAllPanics(t *testing.T) {
	loop := func(body func(*Client)) *Client {
		c := connectMail(t, mailServer{n: 100, octets: 1000, pipelining: true})
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { recover() }()
			for _, err := range c.RetrieveAll(context.Background(), RetrieveOptions{}) {
				if err != nil {
					return
				}
				body(c)
			}
		}()
		<-done
		return c
	}
	wantBroken(t, loop(func(*Client) { panic("out") }), errLeft)
	wantBroken(t, loop(func(*Client) { runtime.Goexit() }), errLeft)
	wantBroken(t, loop(func(c *Client) { c.Abort() }), ErrClosed)
}

// A connection that ends while messages come is the last error, and so are
// replies that cannot be right.
func TestRetrieveAllFails(t *testing.T) {
	const lists = "C: CAPA\nS: +OK\nS: PIPELINING\nS: .\nC: LIST\nC: UIDL\nS: +OK\nS: 1 5\nS: 2 5\nS: .\nS: +OK\nS: 1 a\nS: 2 b\nS: .\nC: RETR 1\nC: RETR 2\n"
	for script, want := range map[string]string{
		"C: CAPA\nCLOSE":                                                                        "CAPA: unexpected EOF",
		"C: CAPA\nS: -ERR\nC: LIST\nS: -ERR no":                                                 "LIST: -ERR no",
		"C: CAPA\nS: -ERR\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: what":                             "UIDL: reply",
		lists[:strings.Index(lists, "S: +OK\nS: 1 5")] + "S: -ERR no\nS: +OK\nS: .":             "LIST: -ERR no",
		lists[:strings.Index(lists, "S: +OK\nS: 1 5")] + "S: what\n":                            "LIST: reply",
		lists[:strings.Index(lists, "S: +OK\nS: 1 5")] + "CLOSE":                                "LIST: unexpected EOF",
		lists[:strings.Index(lists, "S: +OK\nS: 1 a")] + "S: what\n":                            "UIDL: reply",
		lists[:strings.Index(lists, "S: +OK\nS: 1 a")] + "S: +OK\nS: 1 a\nS: .":                 "disagree about message 2",
		lists[:strings.Index(lists, "S: +OK\nS: 1 a")] + "S: +OK\nS: 3 a\nS: 2 b\nS: .":         "disagree about message 1",
		lists[:strings.Index(lists, "S: +OK\nS: 1 a")] + "S: +OK\nS: 2 a\nS: 2 b\nS: .":         "listed twice",
		lists[:strings.Index(lists, "S: +OK\nS: 1 a")] + "S: +OK\nS: 1 a\nS: 2 b\nS: 4 c\nS: .": "disagree about message 4",
		lists[:strings.Index(lists, "S: 1 5")] + "S: 1 5\nS: 1 5\nS: .\nS: -ERR no":             "listed twice",
		lists + "S: +OK\nS: abc\nCLOSE":                                                         "RETR 1: unexpected EOF",
		lists + "S: +OK\nS: abc\nS: .\nS: +OK\nS: abc\nCLOSE":                                   "RETR 2: unexpected EOF",
		lists + "S: +OK\nS: abc\nS: .\nS: abc\nS: .":                                            "RETR 2: reply",
		lists + "S: +OK\nS: abc\nS: .\nS+ +OK\nCLOSE":                                           "RETR 2: unexpected EOF",
		lists + "S: -ERR x\nS: +OK\nS: abc\nS: .\nS: +OK more":                                  "",
	} {
		c := connect(t, script)
		var last error
		for _, err := range c.RetrieveAll(t.Context(), RetrieveOptions{}) {
			var one *MessageError
			if errors.As(err, &one) {
				err = nil
			}
			if last != nil {
				t.Errorf("%q: another turn after %v", script, last)
			}
			last = err
		}
		if fmt.Sprint(last) == "<nil>" && want == "" {
			continue
		}
		if last == nil || !strings.Contains(last.Error(), want) {
			t.Errorf("%q: last error %v, want %q", script, last, want)
		}
	}
}

// A server without UIDL, and one without PIPELINING.
func TestRetrieveAllPlain(t *testing.T) {
	for _, script := range []string{
		"C: CAPA\nS: -ERR\nC: LIST\nS: +OK\nS: 1 3\nS: .\nC: UIDL\nS: -ERR what\nC: RETR 1\nS: +OK\nS: a\nS: .",
		"C: CAPA\nS: +OK\nS: PIPELINING\nS: .\nC: LIST\nC: UIDL\nS: +OK\nS: 1 3\nS: .\nS: -ERR what\nC: RETR 1\nS: +OK\nS: a\nS: .",
	} {
		c := connect(t, script)
		n := 0
		for m, err := range c.RetrieveAll(t.Context(), RetrieveOptions{}) {
			must(t, err)
			if text, err := io.ReadAll(m); string(text) != "a\r\n" || err != nil || m.UID != "" {
				t.Errorf("got %q %q, %v", m.UID, text, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d messages", n)
		}
	}
	c := connect(t, "C: CAPA\nS: -ERR\nC: LIST\nS: +OK\nS: .\nC: UIDL\nS: -ERR what")
	for m, err := range c.RetrieveAll(t.Context(), RetrieveOptions{}) {
		t.Errorf("an empty maildrop gives %v, %v", m, err)
	}
}

// DELE goes ahead of its replies; what is refused is named, the rest is done.
func TestDele(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		c := connectMail(t, mailServer{n: 600, pipelining: pipelining})
		numbers := make([]int, 602)
		for i := range numbers {
			numbers[i] = i + 1
		}
		err := c.Dele(t.Context(), numbers...)
		var refused []int
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range joined.Unwrap() {
				var one *MessageError
				if errors.As(err, &one) {
					refused = append(refused, one.Number)
				}
			}
		}
		if fmt.Sprint(refused) != "[601 602]" {
			t.Errorf("refused %v in %v", refused, err)
		}
		must(t, c.Dele(t.Context()))
		var one *MessageError
		if err := c.Dele(t.Context(), 700); !errors.As(err, &one) || one.Number != 700 {
			t.Errorf("DELE 700 gives %v", err)
		}
	}
	c := connect(t, "C: CAPA\nS: +OK\nS: PIPELINING\nS: .\nC: DELE 1\nC: DELE 2\nS: +OK\nCLOSE")
	err := c.Dele(t.Context(), 1, 2)
	wantUnexpectedEOF(t, err)
	wantBroken(t, c, err)
	c = connect(t, "C: CAPA\nCLOSE")
	wantUnexpectedEOF(t, c.Dele(t.Context(), 1, 2))
}

// 12 kB messages, retrieved in a window, over a socket.
func BenchmarkRetrieveAll(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	s := mailServer{n: b.N, octets: 12 * 1024, pipelining: true}
	s.fixed = "+OK\r\n" + s.body(1) + ".\r\n"
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = s.serve(conn)
		}
		done <- err
	}()
	c, err := DialInsecure(b.Context(), l.Addr().String(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(s.octets))
	b.ReportAllocs()
	b.ResetTimer()
	for m, err := range c.RetrieveAll(b.Context(), RetrieveOptions{}) {
		if err == nil {
			_, err = m.WriteTo(io.Discard)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	c.Abort()
	<-done
}
