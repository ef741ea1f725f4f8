package pop3server_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3server"
)

// prefixes bring a session into each of its states.
var prefixes = []string{
	"",                              // AUTHORIZATION
	"USER mrose\r\n",                // USER given
	"AUTH PLAIN\r\n",                // in an exchange
	"AUTH LOGIN\r\nbXJvc2U=\r\n",    // later in one
	"USER mrose\r\nPASS secret\r\n", // TRANSACTION
	"USER mrose\r\nPASS secret\r\nDELE 1\r\nDELE 3\r\n",
}

// FuzzSession sends any octets in any state. The session must end when the
// client is done; every reply must have the form of one; and a message may go
// only when it was marked and QUIT was given.
func FuzzSession(f *testing.F) {
	for i := range prefixes {
		for _, seed := range []string{
			"", "QUIT\r\n", "QUIT", "STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 2\r\nQUIT\r\n",
			"CAPA\r\nLANG\r\nLANG de\r\nUTF8\r\nSTLS\r\nNOOP\r\nRSET\r\n", "AUTH\r\nAUTH PLAIN AG1yb3NlAHNlY3JldA==\r\n",
			"*\r\n", "c2VjcmV0\r\n", "APOP mrose 00\r\n", "RETR 4294967297\r\n", "\xff\x00\r\r\n", strings.Repeat("A", 300),
		} {
			f.Add(uint8(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, state uint8, input []byte) {
		prefix := prefixes[int(state)%len(prefixes)]
		s := memory.New()
		s.Create("mrose")
		for _, m := range []string{".a\n..\n", "Subject: b\r\n\r\nbody", "", "d\n"} {
			deliver(t, s, m)
		}
		replies, panics := converse(t, s, prefix+string(input))
		if panics > 0 {
			t.Fatal("a session panicked")
		}
		checkReplies(t, replies)
		quit := bytes.Contains(bytes.ToUpper(input), []byte("QUIT"))
		if n := len(left(t, s)); n < 4 && !quit {
			t.Fatalf("%d messages left without QUIT", n)
		}
	})
}

// converse sends all of input, closes the sending half, and gives what the
// server said up to its close.
func converse(t *testing.T, s *memory.Store, input string) (replies []byte, panics int64) {
	opts := pop3server.Options{InsecureAuth: true, APOP: true, Hostname: "h"}
	srv, err := pop3server.New(s, somebody, opts)
	if err != nil {
		t.Fatal(err)
	}
	l := newPipes()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	server, client := net.Pipe()
	l.conns <- halfClosing{server, input, new(int)}
	client.SetDeadline(time.Now().Add(20 * time.Second))
	replies, err = io.ReadAll(client)
	if err != nil {
		t.Fatalf("the session does not end: %v", err)
	}
	client.Close()
	srv.Close()
	<-done
	return replies, srv.Panics()
}

// halfClosing is a connection whose client sent input and then closed its
// sending half.
type halfClosing struct {
	net.Conn
	input string
	at    *int
}

func (h halfClosing) Read(p []byte) (int, error) {
	if *h.at == len(h.input) {
		return 0, io.EOF
	}
	n := copy(p, h.input[*h.at:])
	*h.at += n
	return n, nil
}

// checkReplies checks that lines outside multi-line replies are replies.
func checkReplies(t *testing.T, all []byte) {
	multi := false
	for line := range strings.Lines(string(all)) {
		if !strings.HasSuffix(line, "\r\n") {
			t.Fatalf("line without CRLF: %q", line)
		}
		switch line = strings.TrimSuffix(line, "\r\n"); {
		case multi:
			multi = line != "."
		case strings.HasPrefix(line, "+OK"):
			multi = strings.HasSuffix(line, "follows") || strings.HasSuffix(line, "follow") || strings.HasSuffix(line, " octets") ||
				strings.HasSuffix(line, "folgt") || strings.HasSuffix(line, "folgen") || strings.HasPrefix(line, "+OK Voici") || strings.HasPrefix(line, "+OK Sigue")
		case strings.HasPrefix(line, "-ERR "), strings.HasPrefix(line, "+ "):
		default:
			t.Fatalf("not a reply: %q in %q", line, all)
		}
	}
	if multi {
		t.Fatalf("multi-line reply without end: %q", all)
	}
}
