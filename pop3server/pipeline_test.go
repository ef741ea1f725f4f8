package pop3server_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3server"
)

// counting counts the writes of a server, and what they hold.
type counting struct {
	net.Listener
	writes atomic.Int64
	octets atomic.Int64
	tails  atomic.Int64 // writes that hold not even a whole CRLF "." CRLF
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	return &countingConn{conn, c}, err
}

type countingConn struct {
	net.Conn
	c *counting
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.c.writes.Add(1)
	c.c.octets.Add(int64(len(p)))
	if len(p) < 5 && bytes.HasSuffix([]byte("\r\n.\r\n"), p) {
		c.c.tails.Add(1)
	}
	return c.Conn.Write(p)
}

func countingServer(t testing.TB, s *memory.Store) (*counting, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{Listener: l}
	serveOn(t, c, s, somebody, clear)
	return c, l.Addr().String()
}

func TestPipelinedRepliesLeaveInOneWrite(t *testing.T) {
	c, addr := countingServer(t, store(t, "a\n", "b\n"))
	p := dial(t, addr)
	before := c.writes.Load()
	p.send("USER mrose\r\nPASS secret\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nNOOP\r\n")
	for _, multi := range []bool{false, false, false, true, true, true, false, false} {
		p.want("+OK")
		if multi {
			p.lines()
		}
	}
	if n := c.writes.Load() - before; n != 1 {
		t.Errorf("8 replies left in %d writes", n)
	}
}

// Thunderbird hangs, and naive clients lose the end, where the terminator
// comes in a segment of its own.
func TestTerminatorNeverLeavesAlone(t *testing.T) {
	s := memory.New()
	s.Create("mrose")
	for size := 16<<10 - 80; size < 16<<10+20; size++ { // round the size of a write
		deliver(t, s, strings.Repeat("x", size)+"\n")
		deliver(t, s, strings.Repeat("y", size))
	}
	c, addr := countingServer(t, s)
	p := login(t, addr)
	for n := range 200 {
		p.do(fmt.Sprint("RETR ", n+1), "+OK")
		p.lines()
	}
	p.do("LIST", "+OK")
	p.lines()
	if n := c.tails.Load(); n != 0 {
		t.Errorf("%d writes of a terminator torn off", n)
	}
}

func deliver(t testing.TB, s *memory.Store, message string) {
	t.Helper()
	if _, err := s.Deliver(t.Context(), "mrose", strings.NewReader(message)); err != nil {
		t.Fatal(err)
	}
}

// A client that pipelines and does not read stops the server from reading:
// what the server holds for it does not grow.
func TestFloodWithoutReading(t *testing.T) {
	c, addr := countingServer(t, store(t, strings.Repeat("line\n", 1000)))
	p := login(t, addr)
	const commands = 10_000 // 60 MB of replies, more than sockets hold
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.Conn, strings.Repeat("RETR 1\r\n", commands))
		sent <- err
	}()
	var octets int64 = -1
	for octets != c.octets.Load() { // until the server is stuck
		octets = c.octets.Load()
		time.Sleep(20 * time.Millisecond)
	}
	if octets > 50<<20 {
		t.Errorf("%d octets went to a client that reads nothing", octets)
	}
	want := "+OK 6000 octets\r\n" + strings.Repeat("line\r\n", 1000) + ".\r\n"
	got := make([]byte, len(want))
	for i := range commands {
		if _, err := io.ReadFull(p.r, got); err != nil || string(got) != want {
			t.Fatalf("reply %d: %v, %.100q", i, err, got)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	p.do("QUIT", "+OK")
}

// The same session in any segments gives the same octets.
func TestSplitsDoNotMatter(t *testing.T) {
	session := "CAPA\r\nUSER mrose\r\nAUTH PLAIN\r\n*\r\nPASS secret\r\nSTAT\nLIST \r\nRETR 1\r\nTOP 1 0\r\n\r\nUIDL 2\r\nDELE 2\r\nLIST\r\nRSET\r\nQUIT\r\n"
	s := store(t, ".a\n..\n\r\n.\nx", "b\n")
	_, addr := serve(t, s, somebody, pop3server.Options{InsecureAuth: true})
	run := func(segments []string) string {
		p := dialRaw(t, addr)
		go func() {
			for _, s := range segments {
				io.WriteString(p.Conn, s)
			}
		}()
		b, err := io.ReadAll(p.r)
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		return string(b)
	}
	whole := run([]string{session})
	if !strings.HasSuffix(whole, "+OK Bye\r\n") {
		t.Fatalf("session: %q", whole)
	}
	if got := run(strings.Split(session, "")); got != whole {
		t.Errorf("an octet at a time: %q", got)
	}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var segments []string
		for rest := session; rest != ""; {
			n := 1 + rnd.IntN(min(len(rest), 40))
			segments = append(segments, rest[:n])
			rest = rest[n:]
		}
		if got := run(segments); got != whole {
			t.Fatalf("seed %d: segments %q give %q", seed, segments, got)
		}
	}
}
