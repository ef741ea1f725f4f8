package load

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

// canned is a server that costs next to nothing: prepared replies, without a
// kernel in between, so that what is measured is the generator.
type canned struct {
	net.Conn // nil: nothing else is called
	replies  map[string][]byte

	mu   sync.Mutex
	more *sync.Cond
	out  bytes.Buffer
	end  bool
}

func newCanned(messages, octets int) *canned {
	var uidl, list bytes.Buffer
	for i := range messages {
		fmt.Fprintf(&uidl, "%d 1795000000.M%06dP1.host\r\n", i+1, i)
		fmt.Fprintf(&list, "%d %d\r\n", i+1, octets)
	}
	body := strings.Repeat("A line of sixty-odd octets, of which this message has many.\r\n", octets/61+1)[:octets-2] + "\r\n"
	c := &canned{replies: map[string][]byte{
		"CAPA": []byte("+OK\r\nPIPELINING\r\nUSER\r\n.\r\n"), "USER": []byte("+OK\r\n"), "PASS": []byte("+OK\r\n"),
		"STAT": fmt.Appendf(nil, "+OK %d %d\r\n", messages, messages*octets), "QUIT": []byte("+OK\r\n"),
		"UIDL": fmt.Appendf(nil, "+OK\r\n%s.\r\n", &uidl), "LIST": fmt.Appendf(nil, "+OK\r\n%s.\r\n", &list),
		"RETR": fmt.Appendf(nil, "+OK\r\n%s.\r\n", body),
	}}
	c.more = sync.NewCond(&c.mu)
	c.again()
	return c
}

// again begins the next connection, with the greeting.
func (c *canned) again() {
	c.out.Reset()
	c.out.WriteString("+OK\r\n")
	c.end = false
}

func (c *canned) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range bytes.Lines(p) {
		c.out.Write(c.replies[string(line[:4])])
	}
	c.more.Signal()
	return len(p), nil
}

func (c *canned) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out.Len() == 0 && !c.end {
		c.more.Wait()
	}
	if c.end {
		return 0, io.EOF
	}
	return c.out.Read(p)
}

func (c *canned) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = true
	c.more.Signal()
	return nil
}

func (*canned) SetDeadline(time.Time) error      { return nil }
func (*canned) SetReadDeadline(time.Time) error  { return nil }
func (*canned) SetWriteDeadline(time.Time) error { return nil }

// cannedSession gives a session that has logged in.
func cannedSession(b *testing.B, r *run, conn *canned) session {
	b.Helper()
	c, err := pop3client.New(b.Context(), conn, &pop3client.Options{InsecureAuth: true})
	if err == nil {
		err = r.Target.login(uncancelled, c, User{"u", "p"})
	}
	if err != nil {
		b.Fatal(err)
	}
	return session{r, c}
}

// reportCPU has the benchmark tell processor time, since other work on the
// machine is in the usual ns/op.
func reportCPU(b *testing.B) (report func()) {
	before := own()
	return func() { b.ReportMetric(float64(own()-before)/float64(b.N), "cpu-ns/op") }
}

// What the generator itself costs, but for the kernel's part.
func BenchmarkPoll(b *testing.B) {
	for _, messages := range []int{10, 1000} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			r := &run{Config: Config{Target: &Target{Mechanism: MechanismUser}, Work: Poll}}
			r.counting.Store(true)
			conn := newCanned(messages, 100)
			b.ReportAllocs()
			defer reportCPU(b)()
			for b.Loop() {
				conn.again()
				s := cannedSession(b, r, conn)
				if err := s.poll(); err != nil {
					b.Fatal(err)
				}
				if err := s.c.Quit(uncancelled); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRetr(b *testing.B) {
	for _, pipeline := range []bool{false, true} {
		b.Run(fmt.Sprintf("pipelined=%v", pipeline), func(b *testing.B) {
			r := &run{Config: Config{Target: &Target{Mechanism: MechanismUser}, Work: Retrieve, Pipeline: pipeline}}
			r.counting.Store(true)
			s := cannedSession(b, r, newCanned(1, 10_000))
			defer s.c.Abort()
			b.ReportAllocs()
			b.SetBytes(10_000)
			if !pipeline {
				defer reportCPU(b)()
				for b.Loop() {
					if err := s.one(pop3.Listing{Number: 1, Octets: 10_000}); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			list := make([]pop3.Listing, b.N)
			for i := range list {
				list[i] = pop3.Listing{Number: i + 1, Octets: 10_000}
			}
			b.ResetTimer()
			defer reportCPU(b)()
			if err := s.pipelined(list); err != nil {
				b.Fatal(err)
			}
		})
	}
}
