package rounds

import (
	"net"
	"sync"
	"time"
)

// delayed is a way to a server that takes time: what comes in leaves half a
// round trip later, in its order, however much it is. So commands that are sent
// together arrive together, and bandwidth has no limit but that of the machine.
type delayed struct {
	l    net.Listener
	to   string
	rtt  time.Duration
	wait sync.WaitGroup

	mu    sync.Mutex
	ended bool
	conns []net.Conn
}

// newDelayed listens, and passes on to a server at that address.
func newDelayed(to string, rtt time.Duration) (*delayed, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &delayed{l: l, to: to, rtt: rtt}
	d.wait.Go(d.accept)
	return d, nil
}

func (d *delayed) addr() string { return d.l.Addr().String() }

// close cuts all connections, and waits until nothing runs any more.
func (d *delayed) close() {
	d.mu.Lock()
	d.ended = true
	for _, c := range d.conns {
		c.Close()
	}
	d.mu.Unlock()
	d.l.Close()
	d.wait.Wait()
}

func (d *delayed) accept() {
	for {
		client, err := d.l.Accept()
		if err != nil {
			return
		}
		if !d.keep(client) {
			client.Close()
			return
		}
		d.wait.Go(func() { d.pass(client) })
	}
}

// keep notes a connection that close is to cut.
func (d *delayed) keep(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, c)
	return !d.ended
}

// pass serves one connection. The client took it for connected at once, where
// SYN and its answer would have taken a round trip, and the server would have
// seen it half of one later, with the first octets.
func (d *delayed) pass(client net.Conn) {
	defer client.Close()
	time.Sleep(d.rtt * 3 / 2)
	server, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer server.Close()
	if !d.keep(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { relay(server, client, d.rtt/2) })
	both.Go(func() { relay(client, server, d.rtt/2) })
	both.Wait()
}

// chunk is what one read gave, and when it is due.
type chunk struct {
	due  time.Time
	data []byte
}

// chunkOctets is how much is read at once.
const chunkOctets = 64 << 10

// relay copies from one connection to the other, each octet that much later, and
// then the end.
func relay(to, from net.Conn, late time.Duration) {
	var mu sync.Mutex
	var queue []chunk // without a bound: the network holds any amount
	more := make(chan struct{}, 1)
	push := func(c chunk) {
		mu.Lock()
		queue = append(queue, c)
		mu.Unlock()
		select {
		case more <- struct{}{}:
		default:
		}
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, chunkOctets)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				push(chunk{time.Now().Add(late), append([]byte(nil), buf[:n]...)})
			}
			if err != nil {
				push(chunk{due: time.Now().Add(late)})
				return
			}
		}
	})
	defer reader.Wait()
	for range more {
		mu.Lock()
		taken := queue
		queue = nil
		mu.Unlock()
		for _, c := range taken {
			time.Sleep(time.Until(c.due))
			if c.data == nil {
				closeWrite(to)
				return
			}
			if _, err := to.Write(c.data); err != nil {
				from.Close() // nobody listens: as a reset would
				return
			}
		}
	}
}

// closeWrite passes on that nothing more comes.
func closeWrite(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.CloseWrite()
		return
	}
	c.Close()
}
