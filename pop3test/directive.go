package pop3test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// directive does what a line "! ..." says.
func (r *run) directive(ctx context.Context, st step) error {
	if err := r.do(ctx, st); err != nil {
		return fmt.Errorf("line %d: %s: %w", st.line, st, err)
	}
	return nil
}

func (r *run) do(ctx context.Context, st step) error {
	args := st.args[1:]
	switch name := st.args[0]; name {
	case "session":
		return r.session(ctx, args[0])
	case "tls":
		return r.startTLS(ctx)
	case "wait":
		d, _ := time.ParseDuration(args[0]) // checked by ParseScript
		return pause(ctx, d)
	case "client closes", "client cuts", "server closes", "server cuts":
		return r.closes(name)
	case "one write":
		return r.oneWrite()
	case "never":
		text, _ := unescape(strings.Join(args, " ")) // checked by ParseScript
		if r.side == 'C' && bytes.Contains(r.cur.got, text) {
			return fmt.Errorf("the server sent %s", show(r.cur.got))
		}
	case "error": // for RunClient
	default:
		if r.side == 'S' {
			return nil // the maildrop is on no side of a scripted server
		}
		if r.store == nil {
			return ErrDirective
		}
		return r.store.directive(ctx, st)
	}
	return nil
}

// session makes the connection of that name the current one.
func (r *run) session(ctx context.Context, name string) error {
	if l := r.links[name]; l != nil {
		r.cur = l
		return nil
	}
	if r.dial == nil {
		return ErrDirective
	}
	conn, err := r.dial(ctx)
	if err != nil {
		return err
	}
	r.open(name, conn)
	return nil
}

// startTLS puts TLS on the current connection.
func (r *run) startTLS(ctx context.Context) error {
	l := r.cur
	if len(l.buf) > 0 {
		return fmt.Errorf("came before the handshake: %s", show(l.buf))
	}
	if r.player.TLS == nil {
		return errors.New("the player has no TLS configuration")
	}
	if err := l.wait(); err != nil {
		return err
	}
	conn := tls.Server(l.conn, r.player.TLS)
	if r.side == 'C' {
		conn = tls.Client(l.conn, r.player.TLS)
	}
	l.conn.SetDeadline(time.Now().Add(l.timeout()))
	err := conn.HandshakeContext(ctx)
	l.conn.SetDeadline(time.Time{})
	l.conn, l.secure = conn, true
	return err
}

// closes closes the connection, or waits for the other side to do so.
func (r *run) closes(name string) error {
	l := r.cur
	if strings.HasPrefix(name, "client") == (r.side == 'C') {
		if err := l.wait(); err != nil {
			return err
		}
		l.got = l.got[:len(l.got)-len(l.buf)] // how much of the rest comes is chance
		l.close()                             // what TLS says to it is of no interest
		return nil
	}
	before := len(l.got) - len(l.buf)
	if err := l.end(); err != nil {
		return err
	}
	switch rest := l.got[before:]; {
	case !strings.HasSuffix(name, "cuts") && len(rest) > 0:
		return fmt.Errorf("got %s before it", show(rest))
	case bytes.Contains(rest, []byte("\r\n.\r\n")):
		return errors.New("a terminator ends what ought to be cut")
	}
	l.got = l.got[:before] // how much of it comes is chance
	return nil
}

// oneWrite checks that the replies to the last block came in one write. It
// holds where each write of the server is seen as one: not through TLS, and
// where the block itself was sent in one write.
func (r *run) oneWrite() error {
	l := r.cur
	if r.side != 'C' || r.store == nil || l.secure || r.player.Split.Name != Whole().Name {
		return nil
	}
	if n := len(l.edges) - l.mark; n != 1 {
		return fmt.Errorf("they came in %d", n)
	}
	return nil
}

// terminator ends every multi-line reply.
var terminator = []byte("\r\n.\r\n")

// ends closes the connections that are still open, and checks of all that
// nothing came that was not due, and that no terminator was split off.
func (r *run) ends() error {
	for _, l := range r.order {
		if r.store != nil && !l.closed {
			l.player.Timeout = time.Second
			if err := l.more(); !errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("at the end the server sends %s, %w", show(l.buf), err)
			}
		}
		if !l.closed {
			if err := l.wait(); err != nil {
				return err
			}
			l.close()
		}
		if r.store == nil || l.secure {
			continue
		}
		for _, edge := range l.edges {
			edge = min(edge, len(l.got))
			near := l.got[max(0, edge-4):min(len(l.got), edge+4)]
			if bytes.Contains(near, terminator) {
				return fmt.Errorf("the terminator is split between two writes, in %q", near)
			}
		}
	}
	return nil
}
