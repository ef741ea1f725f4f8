package collect

import (
	"context"
	"net"

	"golang.org/x/time/rate"
)

// slowDialer makes connections on which so many octets a second come in at
// most.
type slowDialer struct{ octets int }

// DialContext makes one.
func (d slowDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return slowed(conn, d.octets), nil
}

// slowed gives a connection on which so many octets a second come in at most.
func slowed(conn net.Conn, octets int) net.Conn {
	// Small bursts, so that no read waits for long: the server hears of the
	// client, and a deadline that is there for silence is not met by waiting.
	burst := max(octets/10, 64)
	return &slowConn{conn, rate.NewLimiter(rate.Limit(octets), burst)}
}

// slowConn reads as fast as its limiter says. What is not read waits at the
// server: TCP tells it to.
type slowConn struct {
	net.Conn
	limiter *rate.Limiter
}

// Read implements net.Conn.
func (c *slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), c.limiter.Burst())])
	if n > 0 {
		c.limiter.WaitN(context.Background(), n) // at most a burst: it does not fail
	}
	return n, err
}
