package pop3client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/pop3"
)

// wholeConn is a connection on which everything the server will ever say is
// known, and what the client says is thrown away. A read gives a line at most,
// so that nothing comes before it is waited for.
type wholeConn struct {
	net.Conn
	said []byte
}

func (w *wholeConn) Read(p []byte) (int, error) {
	if len(w.said) == 0 {
		return 0, io.EOF
	}
	end := bytes.IndexByte(w.said, '\n') + 1
	if end == 0 {
		end = len(w.said)
	}
	n := copy(p, w.said[:end])
	w.said = w.said[n:]
	return n, nil
}

func (w *wholeConn) Write(p []byte) (int, error)      { return len(p), nil }
func (w *wholeConn) Close() error                     { return nil }
func (w *wholeConn) SetDeadline(time.Time) error      { return nil }
func (w *wholeConn) SetReadDeadline(time.Time) error  { return nil }
func (w *wholeConn) SetWriteDeadline(time.Time) error { return nil }

// Whatever a server says, a whole session ends: without a panic, no more
// octets of messages than were received, and a client that is broken where the
// retrieval says so.
func FuzzSession(f *testing.F) {
	f.Add([]byte("+OK <1.2@h>\r\n+OK\r\nSASL PLAIN\r\nPIPELINING\r\n.\r\n+OK\r\n+OK\r\nPIPELINING\r\n.\r\n+OK 1 5\r\n+OK\r\n1 5\r\n.\r\n+OK\r\n1 a\r\n.\r\n+OK 5 octets\r\n..abc\r\n.\r\n+OK\r\n+OK\r\n"))
	f.Add([]byte("+OK\r\n-ERR\r\n+OK\r\n+OK\r\n-ERR\r\n+OK 0 0\r\n+OK\r\n.\r\n+OK\r\n.\r\n+OK\r\n"))
	f.Add([]byte("+OK\r\n+OK\r\nSASL LOGIN\r\n.\r\n+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n+OK\r\n+OK\r\n.\r\n+OK 2 9\r\n+OK\r\n2 5\r\n1 4\r\n.\r\n-ERR\r\n-ERR [SYS/TEMP] x\r\n+OK\r\nab\r\n.\r\n"))
	f.Add([]byte("220 smtp\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		conn := &wholeConn{said: said}
		ctx := context.Background()
		c, err := New(ctx, conn, &Options{InsecureAuth: true, MaxListings: 100})
		if err != nil {
			return
		}
		defer c.Abort()
		if c.Login(ctx, "user", "password") != nil {
			c.Apop(ctx, "user", "secret")
		}
		c.Stat(ctx)
		octets, numbers := int64(0), []int{}
		for m, err := range c.RetrieveAll(ctx, RetrieveOptions{}) {
			var one *MessageError
			switch {
			case errors.As(err, &one), isRefusal(err): // of LIST
				continue
			case err != nil:
				wantBroken(t, c, err)
				return
			}
			if n, err := m.WriteTo(io.Discard); err == nil {
				numbers = append(numbers, m.Number)
				octets += n
			}
		}
		if octets > int64(len(said)) {
			t.Errorf("%d octets of messages out of %d received", octets, len(said))
		}
		c.Dele(ctx, numbers...)
		c.List(ctx)
		c.Uidl(ctx)
		if m, err := c.Top(ctx, 1, 0); err == nil {
			m.Close()
		}
		c.UidlOne(ctx, 1)
		c.ListOne(ctx, 1)
		c.Langs(ctx)
		err = c.Quit(ctx)
		var q *QuitError
		if err != nil && !errors.As(err, &q) {
			t.Errorf("QUIT gives %v", err)
		}
	})
}

// Whatever a list says, it comes in order with each number once, or not at all.
func FuzzList(f *testing.F) {
	f.Add([]byte("1 10\r\n2 20\r\n.\r\n"), []byte("1 a\r\n2 b\r\n.\r\n"))
	f.Add([]byte("2 10\r\n1 20\r\n.\r\n"), []byte("..\r\n.\r\n"))
	f.Fuzz(func(t *testing.T, list, uidl []byte) {
		c, err := New(context.Background(), &wholeConn{said: append([]byte("+OK\r\n+OK\r\n"), list...)}, nil)
		if err == nil {
			listings, _ := c.List(context.Background())
			for i := 1; i < len(listings); i++ {
				if listings[i].Number <= listings[i-1].Number {
					t.Errorf("out of order: %v", listings)
				}
			}
			c.Abort()
		}
		c, err = New(context.Background(), &wholeConn{said: append([]byte("+OK\r\n+OK\r\n"), uidl...)}, nil)
		if err == nil {
			uids, _ := c.Uidl(context.Background())
			for _, u := range uids {
				if !pop3.ValidUID(u.UID) || u.Number < 1 {
					t.Errorf("unique-id %+v", u)
				}
			}
			c.Abort()
		}
	})
}
