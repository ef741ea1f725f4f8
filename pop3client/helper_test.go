package pop3client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/pop3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// insecure lets passwords pass over the pipes of the tests, and ends a test
// that waits for what never comes.
var insecure = &Options{InsecureAuth: true, Timeout: 10 * time.Second}

// play follows a script over the server's side of a connection. A line "C: x"
// is a command that must come, "S: x" one to send, "S+ x" one to send without
// its line end, "S* n x" one to send n times, "RAW x" sends octets quoted as in
// Go, "CLOSE" closes. After the script the
// client must send no more.
func play(conn net.Conn, script string) error {
	defer conn.Close()
	r := bufio.NewReader(conn)
	var out strings.Builder
	flush := func() error {
		if out.Len() == 0 {
			return nil
		}
		_, err := io.WriteString(conn, out.String())
		out.Reset()
		return err
	}
	for line := range strings.Lines(strings.TrimSpace(script) + "\n") {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), "\t")
		kind, text, _ := strings.Cut(line, " ")
		switch kind {
		case "": // a blank line of the script
		case "S:":
			out.WriteString(text + "\r\n")
		case "S+":
			out.WriteString(text)
		case "RAW":
			raw, err := strconv.Unquote(text)
			if err != nil {
				return err
			}
			out.WriteString(raw)
		case "S*":
			var n int
			fmt.Sscan(text, &n)
			_, text, _ = strings.Cut(text, " ")
			out.WriteString(strings.Repeat(text+"\r\n", n))
		case "C:":
			if err := flush(); err != nil {
				return fmt.Errorf("sending before %q: %w", line, err)
			}
			got, err := r.ReadString('\n')
			if err != nil || got != text+"\r\n" {
				return fmt.Errorf("got %q (%v), want %q", got, err, text)
			}
		case "CLOSE":
			flush() // which a client that has seen enough does not take
			return nil
		default:
			return fmt.Errorf("script line %q", line)
		}
	}
	if err := flush(); err != nil {
		return fmt.Errorf("sending the end: %w", err)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		return fmt.Errorf("the client sent %q after the end of the script", rest)
	}
	return nil
}

// dialScript gives the client's end of a pipe whose other end follows a
// script; the script must have been followed when the test ends.
func dialScript(t *testing.T, script string) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	played := make(chan error, 1)
	go func() { played <- play(theirs, script) }()
	t.Cleanup(func() {
		ours.Close()
		if err := <-played; err != nil {
			t.Errorf("the server's script: %v", err)
		}
	})
	return ours
}

// connect makes a client of a server that greets and then follows a script.
func connect(t *testing.T, script string) *Client {
	t.Helper()
	return connectWith(t, insecure, script)
}

func connectWith(t *testing.T, opts *Options, script string) *Client {
	t.Helper()
	c, err := New(t.Context(), dialScript(t, "S: +OK ready\n"+script), opts)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { c.Abort() })
	return c
}

// wantRefusal checks that err is the negative reply -ERR [code] text.
func wantRefusal(t *testing.T, err error, code pop3.Code, text string) {
	t.Helper()
	var e *pop3.Error
	if !errors.As(err, &e) || e.Code != code || e.Text != text {
		t.Errorf("error %v, want -ERR [%s] %s", err, code, text)
	}
}

// wantProtocolError checks that err is a *ProtocolError whose text holds part,
// and that the client is broken by it: nothing more is sent, QUIT least.
func wantProtocolError(t *testing.T, c *Client, err error, part string) {
	t.Helper()
	var e *ProtocolError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want a ProtocolError with %q", err, part)
	}
	wantBroken(t, c, err)
}

// wantBroken checks that every call gives the error, and Quit that nothing was
// deleted.
func wantBroken(t *testing.T, c *Client, err error) {
	t.Helper()
	if got := c.Noop(context.Background()); got != err {
		t.Errorf("NOOP on a broken session gives %v, want %v", got, err)
	}
	var q *QuitError
	if got := c.Quit(context.Background()); !errors.As(got, &q) || q.Deletion != NothingDeleted || q.Err != err {
		t.Errorf("QUIT on a broken session gives %v, want %v with nothing deleted", got, err)
	}
}

// must ends the test where a step that has to work does not.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantUnexpectedEOF(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want io.ErrUnexpectedEOF", err)
	}
}
