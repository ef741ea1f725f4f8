package gateways

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// balancer gives each connection to one of the gateways that run, in turn.
type balancer struct {
	l    net.Listener
	up   func() []string // addresses
	next atomic.Uint64
	all  sync.WaitGroup

	mu     sync.Mutex // for the rest
	conns  map[net.Conn]bool
	closed bool
}

func newBalancer(up func() []string) (*balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{l: l, up: up, conns: make(map[net.Conn]bool)}
	b.all.Go(b.accept)
	return b, nil
}

func (b *balancer) addr() string { return b.l.Addr().String() }

func (b *balancer) accept() {
	for {
		conn, err := b.l.Accept()
		if err != nil {
			return
		}
		b.all.Go(func() { b.serve(conn) })
	}
}

// serve joins a connection to one with a gateway. Where none takes it, it is
// closed.
func (b *balancer) serve(conn net.Conn) {
	defer b.forget(conn)
	if !b.keep(conn) {
		return
	}
	addrs := b.up()
	first := int(b.next.Add(1) % (1 << 30))
	for i := range addrs {
		gateway, err := net.Dial("tcp", addrs[(first+i)%len(addrs)])
		if err != nil {
			continue
		}
		defer b.forget(gateway)
		if !b.keep(gateway) {
			return
		}
		// The end of either ends both: half of an answer is no answer.
		b.all.Go(func() {
			io.Copy(gateway, conn)
			b.forget(conn)
			b.forget(gateway)
		})
		io.Copy(conn, gateway)
		return
	}
}

// keep takes note of a connection, unless the balancer is closed.
func (b *balancer) keep(conn net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.conns[conn] = true
	}
	return !b.closed
}

func (b *balancer) forget(conn net.Conn) {
	conn.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, conn)
}

func (b *balancer) close() {
	b.l.Close()
	b.mu.Lock()
	b.closed = true
	for conn := range b.conns {
		conn.Close()
	}
	b.mu.Unlock()
	b.all.Wait()
}
