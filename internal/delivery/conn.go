package delivery

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	// patience is how long a peer may say nothing, as RFC 5321 section
	// 4.5.3.2.7 asks of servers.
	patience = 5 * time.Minute

	// pace is how many octets of a message extend the time for as much more.
	// No command is that long.
	pace = 64 << 10
)

// conn is a connection of an MTA with a deadline for each command as a whole,
// and for each pace octets of a message.
type conn struct {
	net.Conn
	end func() // called once, when it is closed

	once     sync.Once
	since    atomic.Int64 // when the time for what is read now began, in ns since 1970; 0: it has not
	octets   atomic.Int64 // read since then
	finished atomic.Bool
	busy     atomic.Bool // a message is taken
	ended    atomic.Bool // a read has failed
	pausing  atomic.Bool // reads give errPause,
	goOn     atomic.Bool // but for the next one
}

var errLongLine = errors.New("the command is too long")

// errPause is the error of a read that is not to wait. It is a net.Error that
// is temporary, so that TLS goes on behind it.
var errPause net.Error = pause{}

type pause struct{}

func (pause) Error() string   { return "nothing is read now" }
func (pause) Timeout() bool   { return true }
func (pause) Temporary() bool { return true }

// Read implements net.Conn. Where the connection is finished nothing more is
// read; nor behind a failure: what comes late within a message would pass for
// commands.
func (c *conn) Read(p []byte) (int, error) {
	if c.pausing.Load() && !c.goOn.Swap(false) {
		return 0, errPause
	}
	if c.ended.Load() {
		return 0, io.EOF
	}
	n, err := c.read(p)
	if err != nil {
		c.ended.Store(true)
	}
	if err != nil && err != io.EOF && c.busy.Load() {
		// Go-smtp replies 554 to any other error within a chunk, as if the
		// message were at fault.
		err = &smtp.SMTPError{Code: codeTemporary, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "The message did not come to its end"}
	}
	return n, err
}

func (c *conn) read(p []byte) (int, error) {
	if !c.busy.Load() && c.octets.Load() >= pace {
		return 0, errLongLine
	}
	if c.since.Load() == 0 || c.octets.Load() >= pace {
		c.since.Store(time.Now().UnixNano())
		c.octets.Store(0)
	}
	c.Conn.SetReadDeadline(time.Unix(0, c.since.Load()).Add(patience))
	if c.over() { // looked at behind the deadline, which finish may have set meanwhile
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	c.octets.Add(int64(n))
	if err != nil && c.over() {
		return 0, io.EOF
	}
	return n, err
}

// over tells whether nothing more is to be read.
func (c *conn) over() bool { return c.finished.Load() && !c.busy.Load() }

// Write implements net.Conn. A reply ends a command: the time for the next one
// begins.
func (c *conn) Write(p []byte) (int, error) {
	c.since.Store(0)
	c.octets.Store(0)
	c.Conn.SetWriteDeadline(time.Now().Add(patience))
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(c.end)
	return c.Conn.Close()
}

// finish ends the connection behind the message that it is taking, or now.
func (c *conn) finish() {
	c.finished.Store(true)
	if !c.busy.Load() {
		c.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes whoever reads
	}
}

// connOf gives the conn below what go-smtp works with.
func connOf(nc net.Conn) *conn {
	if inner, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = inner.NetConn()
	}
	return nc.(*conn)
}
