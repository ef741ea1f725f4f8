package pop3client

import (
	"errors"
	"net"
	"os"
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
	defer d.limit(d.Conn.SetReadDeadline, false)()
	return d.Conn.Read(p)
}

// Write implements net.Conn.
func (d *deadlineConn) Write(p []byte) (int, error) {
	defer d.limit(d.Conn.SetWriteDeadline, true)()
	return d.Conn.Write(p)
}

// limit sets the deadline of one read or write; done ends it. A connection
// that knows no deadlines, such as a channel of SSH, is closed instead.
func (d *deadlineConn) limit(set func(time.Time) error, write bool) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	done = func() {}
	if d.interrupted || write && d.patient {
		return done
	}
	if set(d.deadline()) != nil && d.timeout > 0 {
		timer := time.AfterFunc(d.timeout, func() { d.Conn.Close() })
		done = func() { timer.Stop() }
	}
	return done
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
		if d.Conn.SetDeadline(longAgo) != nil {
			d.Conn.Close()
		}
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

// impatience ends patience: a write, also one that waits already, has that
// long from now on.
func (d *deadlineConn) impatience(limit time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.patient = false
	if d.interrupted {
		return
	}
	if d.Conn.SetWriteDeadline(time.Now().Add(limit)) != nil {
		d.Conn.Close() // what knows no deadlines could wait for ever
	}
}

// silent reports whether nothing comes over conn, which is d or TLS over it,
// within a moment. The operation that runs goes on after it.
func (d *deadlineConn) silent(conn net.Conn, moment time.Duration) bool {
	d.mu.Lock()
	timeout := d.timeout
	d.timeout = moment
	d.mu.Unlock()
	var one [1]byte
	n, err := conn.Read(one[:])
	d.mu.Lock()
	d.timeout = timeout
	d.mu.Unlock()
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}
