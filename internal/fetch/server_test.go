package fetch

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/poplin-mail/poplin/pop3client"
)

// TestReused: a unique-id that the server gives to another message is not
// taken for the one that is known, and one that comes back is.
func TestReused(t *testing.T) {
	b := newBed(t, "all")
	add := func(uid, text string) {
		t.Helper()
		if err := b.server.Memory.Add(b.server.User, uid, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	add("1", letter(1))
	add("2", letter(2))
	b.must()
	other := newBed(t, "all") // the server, with the same unique-ids
	b.server = other.server
	b.server.Memory.Create(b.server.User)
	b.must()                                                        // both are gone
	add("1", strings.Replace(letter(8), "letter 8", "letter x", 1)) // as long as letter(1)
	b.must()
	b.holds("mail", []string{letter(1), letter(2), strings.Replace(letter(8), "letter 8", "letter x", 1)})
	add("2", letter(2)) // it was gone, and is back
	if r := b.must(); r.Retrieved != 0 {
		t.Errorf("the report is %+v", r)
	}
}

// TestSwapped: a message that has the unique-id and the size of one that is
// known is not deleted for it, and comes in the next run.
func TestSwapped(t *testing.T) {
	b := newBed(t, "all")
	add := func(uid, text string) {
		t.Helper()
		if err := b.server.Memory.Add(b.server.User, uid, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	add("1", letter(1))
	add("2", letter(2))
	b.must()
	b.server = newBed(t, "all").server
	other := strings.Replace(letter(8), "letter 8", "letter x", 1) // as long as letter(1)
	add("1", other)
	add("2", letter(2))
	b.Keep = policy(t, "none")
	if r := b.must(); r.Deleted != 1 || b.onServer() != 1 {
		t.Errorf("the report is %+v", r)
	}
	if r := b.must(); r.Retrieved != 1 || r.Deleted != 1 {
		t.Errorf("the report is %+v", r)
	}
	b.holds("mail", []string{letter(1), letter(2), other})
}

// TestUIDLRefused: a server that has UIDL and refuses it for once is not taken
// for one without it.
func TestUIDLRefused(t *testing.T) {
	var refuses atomic.Bool
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveLines(l, func(line string) string {
		if line == "UIDL" && refuses.Load() {
			return "-ERR index busy\r\n"
		}
		return map[string]string{"LIST": "+OK\r\n1 15\r\n.\r\n", "UIDL": "+OK\r\n1 a\r\n.\r\n", "CAPA": "-ERR\r\n",
			"RETR 1": "+OK\r\nSubject: x\r\n\r\ny\r\n.\r\n", "TOP 1 0": "+OK\r\nSubject: x\r\n\r\n.\r\n"}[line]
	})
	b := newBed(t, "all")
	b.Connect = b.insecure(l.Addr().String())
	b.must()
	refuses.Store(true)
	if r, err := b.run(Options{}); err == nil || !Temporary(err) || r.Retrieved != 0 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	b.holds("mail", []string{"Subject: x\n\ny\n"})
	// One that never had it is told by headers.
	b2 := newBed(t, "all")
	b2.Connect = b.Connect
	b2.must()
	if r := b2.must(); r.Retrieved != 0 {
		t.Errorf("the report is %+v", r)
	}
	b2.holds("mail", []string{"Subject: x\n\ny\n"})
}

// TestPoisoned: a message at which the server always breaks off keeps none of
// the others, and what came whole is delivered.
func TestPoisoned(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveLines(l, func(line string) string {
		switch {
		case line == "LIST" || line == "UIDL":
			return "+OK\r\n1 15\r\n2 16\r\n3 17\r\n.\r\n"
		case line == "RETR 2":
			return "+OK\r\nSubj"
		case strings.HasPrefix(line, "RETR "):
			return "+OK\r\nSubject: " + line[5:] + "\r\n\r\ny\r\n.\r\n"
		case line == "CAPA":
			return "-ERR\r\n"
		}
		return ""
	})
	b := newBed(t, "all")
	b.Connect = b.insecure(l.Addr().String())
	if r, err := b.run(Options{}); err == nil || len(r.Down) != 0 || r.Delivered != 1 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	if r, err := b.run(Options{}); err == nil || r.Delivered != 1 {
		t.Errorf("the second report is %+v, error %v", r, err)
	}
	b.holds("mail", []string{"Subject: 1\n\ny\n", "Subject: 3\n\ny\n"})
}

// insecure connects in clear text to a server of the test's.
func (b *bed) insecure(addr string) func(ctx context.Context) (*pop3client.Client, error) {
	return func(ctx context.Context) (*pop3client.Client, error) {
		c, err := pop3client.DialInsecure(ctx, addr, nil)
		if err != nil {
			return nil, err
		}
		return c, c.Login(ctx, "u", "p")
	}
}

// serveLines is a server of which a function makes the replies; an empty one
// stands for +OK, and one without a line end is the last.
func serveLines(l net.Listener, reply func(line string) string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "+OK\r\n")
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			text := reply(lines.Text())
			if text == "" {
				text = "+OK\r\n"
			}
			io.WriteString(conn, text)
			if lines.Text() == "QUIT" || !strings.HasSuffix(text, "\n") {
				break
			}
		}
		conn.Close()
	}
}

// TestUIDsChanged: a server that numbers its mail anew is noticed.
func TestUIDsChanged(t *testing.T) {
	b := newBed(t, "all")
	mail := b.deliver(0, 20)
	b.must()
	b.server = newBed(t, "all").server // replaced by another
	b.deliver(0, 20)
	mail = append(mail, b.deliver(20, 22)...)
	r, err := b.run(Options{})
	if err == nil || Temporary(err) || r.Retrieved != 0 || !strings.Contains(err.Error(), "--uids=match") {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	if r, err := b.run(Options{UIDs: MatchUIDs}); err != nil || r.Retrieved != 2 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	b.holds("mail", mail)
	if r := b.must(); r.Retrieved != 0 {
		t.Errorf("the report is %+v", r)
	}
}
