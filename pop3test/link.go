package pop3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// defaultTimeout is how long a player waits for octets, or for somebody to
// take them. In a bubble of testing/synctest it takes no time.
const defaultTimeout = time.Minute

// link is a player's end of one connection. It reads by means of its own, so
// that a fault that client and server share by package wire shows here.
type link struct {
	conn    net.Conn
	player  Player
	names   *names
	buf     []byte // received and not taken
	got     []byte // all that was received
	edges   []int  // places in got where a write of the other side ended
	sent    int
	mark    int        // length of edges when the last block was sent
	writing chan error // of the block under way, or nil
	closed  bool
	secure  bool // inside TLS
}

func (l *link) timeout() time.Duration {
	if l.player.Timeout > 0 {
		return l.player.Timeout
	}
	return defaultTimeout
}

// more receives something.
func (l *link) more() error {
	l.conn.SetReadDeadline(time.Now().Add(l.timeout()))
	p := make([]byte, 32<<10)
	n, err := l.conn.Read(p)
	l.buf = append(l.buf, p[:n]...)
	l.got = append(l.got, p[:n]...)
	if n > 0 && n < len(p) {
		l.edges = append(l.edges, len(l.got))
	}
	if n > 0 {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("nothing came: %w", err)
	}
	return err
}

// line takes a line, line end included.
func (l *link) line() ([]byte, error) {
	for scanned := 0; ; {
		if i := bytes.IndexByte(l.buf[scanned:], '\n'); i >= 0 {
			return l.take(scanned + i + 1), nil
		}
		scanned = len(l.buf)
		if err := l.more(); err != nil {
			return l.buf, err
		}
	}
}

// octets takes n octets.
func (l *link) octets(n int) ([]byte, error) {
	for len(l.buf) < n {
		if err := l.more(); err != nil {
			return l.buf, err
		}
	}
	return l.take(n), nil
}

func (l *link) take(n int) []byte {
	b := l.buf[:n]
	l.buf = l.buf[n:]
	return b
}

// send begins to write octets, in the player's way, when those before them
// are written; wait waits for its end. Meanwhile replies can be read.
func (l *link) send(ctx context.Context, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := l.wait(); err != nil {
		return err
	}
	l.mark = len(l.edges)
	writes := l.player.Split.cut(b)
	done := make(chan error, 1)
	l.writing = done
	go func() { done <- l.write(ctx, writes) }()
	return nil
}

func (l *link) write(ctx context.Context, writes [][]byte) error {
	for _, p := range writes {
		if err := pause(ctx, l.player.Delay); err != nil {
			return err
		}
		cut := l.player.CutAfter > 0 && l.sent+len(p) >= l.player.CutAfter
		if cut {
			p = p[:l.player.CutAfter-l.sent]
		}
		l.conn.SetWriteDeadline(time.Now().Add(l.timeout()))
		n, err := l.conn.Write(p)
		l.sent += n
		if cut {
			return errors.Join(errCut, l.conn.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errCut says that the player cut the connection, as it was told to.
var errCut = errors.New("cut")

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait waits until what was sent is written. That the other side has closed
// is no error here: who expects it says so, and who does not misses a reply.
func (l *link) wait() error {
	if l.writing == nil {
		return nil
	}
	err := <-l.writing
	l.writing = nil
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the other side does not take what is sent; perhaps it sends something itself: %w", err)
	case errors.Is(err, errCut) || errors.Is(err, context.Canceled):
		return err
	}
	return nil
}

// expect takes what a step stands for.
func (l *link) expect(st step) error {
	if st.kind == '|' {
		want := l.names.render(st)
		got, err := l.octets(len(want))
		return differ(st, got, err, bytes.Equal(got, want))
	}
	got, err := l.line()
	if err != nil {
		return differ(st, got, err, false)
	}
	line, ok := bytes.CutSuffix(got, []byte("\r\n"))
	if !ok {
		return fmt.Errorf("line %d: want %s, got a line that ends in bare LF: %s", st.line, st, show(got))
	}
	if err := l.names.match(st, line); err != nil {
		return fmt.Errorf("line %d: want %s, %w", st.line, st, err)
	}
	return nil
}

func differ(st step, got []byte, err error, equal bool) error {
	switch {
	case err != nil:
		return fmt.Errorf("line %d: want %s, got %s and then %w", st.line, st, show(got), err)
	case !equal:
		return fmt.Errorf("line %d: want %s, got %s", st.line, st, show(got))
	}
	return nil
}

// end reads until the other side closes, and closes too: what TLS says to a
// close without its ceremony is of no interest.
func (l *link) end() error {
	for {
		if err := l.more(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return errors.New("the other side does not close the connection")
			}
			l.close()
			return nil
		}
	}
}

// close closes the connection and ends what is being written.
func (l *link) close() error {
	if l.closed {
		return nil
	}
	l.closed = true
	err := l.conn.Close()
	if l.writing != nil {
		<-l.writing
		l.writing = nil
	}
	return err
}
