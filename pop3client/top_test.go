package pop3client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/pop3"
)

// headerServer answers TOP for a hundred messages of 100 MB each, and refuses
// every tenth. It keeps the most commands that it has had at once.
type headerServer struct {
	pipelining bool
	most       int
}

func (s *headerServer) serve(conn net.Conn) {
	defer conn.Close()
	r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
	w.WriteString("+OK ready\r\n")
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		waiting, _ := r.Peek(r.Buffered())
		s.most = max(s.most, 1+strings.Count(string(waiting), "\n"))
		var n, lines int
		switch verb, arg, _ := strings.Cut(strings.TrimSpace(line), " "); {
		case verb == "CAPA" && s.pipelining:
			w.WriteString("+OK\r\nPIPELINING\r\n.\r\n")
		case verb == "LIST" || verb == "UIDL":
			w.WriteString("+OK\r\n")
			for i := range 100 {
				value := "100000000"
				if verb == "UIDL" {
					value = fmt.Sprint("uid", i+1)
				}
				fmt.Fprintf(w, "%d %s\r\n", i+1, value)
			}
			w.WriteString(".\r\n")
		case verb == "TOP":
			if got, _ := fmt.Sscanf(arg, "%d %d", &n, &lines); got != 2 || lines != 0 || n%10 == 0 {
				w.WriteString("-ERR [SYS/TEMP] not this one\r\n")
				break
			}
			fmt.Fprintf(w, "+OK 7 octets\r\nSubject: %d\r\n\r\n.\r\n", n)
		case verb == "CAPA":
			w.WriteString("-ERR\r\n")
		default:
			w.WriteString("+OK\r\n")
		}
	}
}

// The headers of large messages come in a window as if they were small, which
// they are; a refusal is about one of them; and the session goes on.
func TestHeaderAll(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		ours, theirs := net.Pipe()
		s := &headerServer{pipelining: pipelining}
		done := make(chan struct{})
		go func() { defer close(done); s.serve(theirs) }()
		c, err := New(context.Background(), ours, insecure)
		must(t, err)
		next := 0
		for m, err := range c.HeaderAll(t.Context(), RetrieveOptions{}) {
			next++
			var refused *MessageError
			if next%10 == 0 {
				var reply *pop3.Error
				if !errors.As(err, &refused) || refused.UID != fmt.Sprint("uid", next) || !errors.As(err, &reply) || !reply.Temporary() {
					t.Fatalf("message %d: %v", next, err)
				}
				continue
			}
			must(t, err)
			text, err := io.ReadAll(m)
			want := fmt.Sprintf("Subject: %d\r\n\r\n", next)
			if err != nil || string(text) != want || m.Number != next || m.UID != fmt.Sprint("uid", next) || m.Size != 100_000_000 {
				t.Fatalf("message %d: %d %s of %d octets, %q, %v", next, m.Number, m.UID, m.Size, text, err)
			}
		}
		must(t, c.Noop(t.Context()))
		must(t, c.Quit(t.Context()))
		<-done
		if next != 100 {
			t.Errorf("%d messages came", next)
		}
		if pipelining != (s.most > 10) {
			t.Errorf("pipelining %v: up to %d commands at once", pipelining, s.most)
		}
	}
}

// A server without a size for a message gives none for its header either: what
// the reply to TOP says is not the message's size.
func TestHeaderAllWithoutSizes(t *testing.T) {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); (&headerServer{}).serve(theirs) }()
	c, err := New(context.Background(), ours, insecure)
	must(t, err)
	opts := RetrieveOptions{Numbers: []int{3}, Listings: []pop3.Listing{}, UIDs: []pop3.UID{}}
	for m, err := range c.HeaderAll(t.Context(), opts) {
		must(t, err)
		if m.Size != -1 {
			t.Errorf("size %d", m.Size)
		}
	}
	c.Abort()
	<-done
}
