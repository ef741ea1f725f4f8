package pop3client

import (
	"net"
	"sync"
	"time"
)

// longAgo is a deadline that has passed: it ends what waits at once.
var longAgo = time.Unix(1, 0)

// deadlineConn is the connection under everything else. It gives each read and
// write its own deadline, so that the time-out is about silence and not about
// the length of a message, and can be interrupted by the context of the
// operation that runs. Operations are counted: a context that ends when its
// operation is already over interrupts nothing.
type deadlineConn struct {
	net.Conn
	timeout time.Duration // of silence; zero: no limit

	mu          sync.Mutex
	operation   uint64
	interrupted bool
	patient     bool // a write may wait as long as it likes
}

// Read implements net.Conn.
func (d *deadlineConn) Read(p []byte) (int, error) {
	d.mu.Lock()
	if !d.interrupted {
		d.Conn.SetReadDeadline(d.deadline())
	}
	d.mu.Unlock()
	return d.Conn.Read(p)
}

// Write implements net.Conn.
func (d *deadlineConn) Write(p []byte) (int, error) {
	d.mu.Lock()
	if !d.interrupted && !d.patient {
		d.Conn.SetWriteDeadline(d.deadline())
	}
	d.mu.Unlock()
	return d.Conn.Write(p)
}

func (d *deadlineConn) deadline() time.Time {
	if d.timeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d.timeout)
}

// begin counts a new operation and gives its number.
func (d *deadlineConn) begin() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.operation++
	d.interrupted, d.patient = false, false
	return d.operation
}

// interrupt ends what waits in that operation, and lets nothing of it wait
// again.
func (d *deadlineConn) interrupt(operation uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.operation == operation {
		d.interrupted = true
		d.Conn.SetDeadline(longAgo)
	}
}

// wasInterrupted reports whether the operation that runs was interrupted.
func (d *deadlineConn) wasInterrupted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.interrupted
}

// patience has the writes of the operation that runs wait without a limit of
// their own. Somebody else must see to it that they end.
func (d *deadlineConn) patience() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.patient = true
	if !d.interrupted {
		d.Conn.SetWriteDeadline(time.Time{})
	}
}
