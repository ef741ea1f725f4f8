package pop3server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3server"
)

// What follows measures whole sessions over the loopback, client included,
// which allocates nothing a command. The store is in memory: it takes no time
// of its own.

// benchMessage is some 10 kB of stored mail.
var benchMessage = "Subject: figures\n\n" + strings.Repeat(strings.Repeat("x", 76)+"\n", 130)

// benchServer serves a maildrop with n messages, and gives the way in: with
// config over TLS.
func benchServer(b *testing.B, n int, over bool) func() net.Conn {
	b.Helper()
	messages := make([]string, n)
	for i := range messages {
		messages[i] = benchMessage
	}
	return benchServe(b, store(b, messages...), somebody, over)
}

func benchServe(b *testing.B, s maildrop.Store, auth pop3server.Authenticator, over bool) func() net.Conn {
	b.Helper()
	server, client := certificate()
	srv, err := pop3server.New(s, auth, pop3server.Options{TLSConfig: server, InsecureAuth: true, MaxSessionsPerAddr: -1, MaxSessionsPerNetwork: -1})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	serve := srv.Serve
	if over {
		serve = srv.ServeTLS
	}
	done := make(chan error, 1)
	go func() { done <- serve(l) }()
	b.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, pop3server.ErrServerClosed) {
			b.Error(err)
		}
	})
	return func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		if over {
			conn = tls.Client(conn, client)
		}
		return conn
	}
}

// benchPeer reads replies into one buffer.
type benchPeer struct {
	b    *testing.B
	conn net.Conn
	buf  [128 << 10]byte
	r, w int
}

// skip reads until an end has come n times.
func (p *benchPeer) skip(end string, n int) {
	for ; n > 0; n-- {
		for {
			if i := bytes.Index(p.buf[p.r:p.w], []byte(end)); i >= 0 {
				p.r += i + len(end)
				break
			}
			if keep := min(p.w-p.r, len(end)-1); p.w-p.r > keep {
				p.r = p.w - keep
			}
			p.w = copy(p.buf[:], p.buf[p.r:p.w])
			p.r = 0
			got, err := p.conn.Read(p.buf[p.w:])
			if p.w += got; err != nil {
				p.b.Fatal(err)
			}
		}
	}
}

func (p *benchPeer) do(command, end string, n int) {
	if _, err := io.WriteString(p.conn, command); err != nil {
		p.b.Fatal(err)
	}
	p.skip(end, n)
}

func (p *benchPeer) login(user string) {
	p.skip("\r\n", 1)
	p.do("USER "+user+"\r\n", "\r\n", 1)
	p.do("PASS secret\r\n", "\r\n", 1)
}

func forms(b *testing.B, f func(b *testing.B, over bool)) {
	b.Run("clear", func(b *testing.B) { f(b, false) })
	b.Run("TLS", func(b *testing.B) { f(b, true) })
}

// BenchmarkRetrieve sends one message an operation.
func BenchmarkRetrieve(b *testing.B) {
	const ahead = 32
	for _, verb := range []string{"RETR %d\r\n", "TOP %d 0\r\n"} {
		name, _, _ := strings.Cut(verb, " ")
		b.Run(name, func(b *testing.B) {
			for _, depth := range []int{1, ahead} {
				b.Run(fmt.Sprintf("%d at a time", depth), func(b *testing.B) {
					forms(b, func(b *testing.B, over bool) {
						p := &benchPeer{b: b, conn: benchServer(b, ahead, over)()}
						defer p.conn.Close()
						p.login("mrose")
						var commands strings.Builder
						for i := range depth {
							fmt.Fprintf(&commands, verb, i+1)
						}
						batch := []byte(commands.String())
						b.SetBytes(int64(len(benchMessage)))
						b.ReportAllocs()
						b.ResetTimer()
						for n := b.N; n > 0; n -= depth {
							if _, err := p.conn.Write(batch); err != nil {
								b.Fatal(err)
							}
							p.skip("\r\n.\r\n", depth)
						}
					})
				})
			}
		})
	}
}

// BenchmarkRetrieveLarge sends 10 MB an operation.
func BenchmarkRetrieveLarge(b *testing.B) {
	forms(b, func(b *testing.B, over bool) {
		large := strings.Repeat(benchMessage, 1000)
		p := &benchPeer{b: b, conn: benchServe(b, store(b, large), somebody, over)()}
		defer p.conn.Close()
		p.login("mrose")
		b.SetBytes(int64(len(large)))
		b.ReportAllocs()
		for b.Loop() {
			p.do("RETR 1\r\n", "\r\n.\r\n", 1)
		}
	})
}

// BenchmarkLogin connects, logs in and ends the session.
func BenchmarkLogin(b *testing.B) {
	forms(b, func(b *testing.B, over bool) {
		dial := benchServer(b, 1, over)
		p := &benchPeer{b: b}
		b.ReportAllocs()
		for b.Loop() {
			p.conn, p.r, p.w = dial(), 0, 0
			p.login("mrose")
			p.do("QUIT\r\n", "\r\n", 1)
			p.conn.Close()
		}
	})
}

// anybody lets in who knows the password, each to a maildrop of his own.
type anybody struct{}

func (anybody) Password(_ context.Context, l pop3server.Login) (pop3server.Account, error) {
	return pop3server.Account{Name: l.Username, Maildrop: l.Username}, nil
}

// made makes maildrops as they are asked for.
type made struct{ *memory.Store }

func (s made) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	s.Create(name)
	return s.Store.Open(ctx, name)
}

// BenchmarkIdle gives what sessions take that have logged in and wait: heap and
// stacks, both ends of each connection.
func BenchmarkIdle(b *testing.B) {
	const sessions = 1000
	forms(b, func(b *testing.B, over bool) {
		dial := benchServe(b, made{memory.New()}, anybody{}, over)
		p := &benchPeer{b: b}
		for b.Loop() {
			before := inUse()
			conns := make([]net.Conn, sessions)
			for i := range conns {
				p.conn, p.r, p.w = dial(), 0, 0
				conns[i] = p.conn
				p.login(fmt.Sprint("user", i))
			}
			time.Sleep(1500 * time.Millisecond) // until they rest
			b.ReportMetric(float64(inUse()-before)/sessions, "B/session")
			for _, conn := range conns {
				conn.Close()
			}
		}
	})
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // stacks of goroutines that ended go with the second
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
