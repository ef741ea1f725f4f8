package target

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// script is a server of which each connection runs a function.
type script struct {
	t    *testing.T
	addr string
	l    net.Listener

	mu    sync.Mutex
	conns []net.Conn
	wait  sync.WaitGroup
}

// peer is the client of a scripted server.
type peer struct {
	net.Conn
	r *bufio.Reader
}

// newScript starts a server.
func newScript(t *testing.T, network, address string, serve func(p *peer)) *script {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, l: l, addr: l.Addr().String()}
	s.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.wait.Go(func() {
				defer c.Close()
				serve(&peer{c, bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.wait.Wait()
	})
	return s
}

// say sends lines.
func (p *peer) say(lines ...string) {
	for _, line := range lines {
		fmt.Fprintf(p, "%s\r\n", line)
	}
}

// hear reads a line, without its end; empty where the connection ended.
func (p *peer) hear() string {
	line, _ := p.r.ReadString('\n')
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// hang says nothing until the client goes.
func (p *peer) hang() {
	for {
		if _, err := p.r.Discard(1); err != nil {
			return
		}
	}
}
