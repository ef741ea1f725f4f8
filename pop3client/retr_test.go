package pop3client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

const dotted = "Subject: x\r\n\r\n.\r\n..a\r\n.b.\r\n\nbare\n.\nlf\rcr\r\n"

// wireForm is dotted as it stands on the wire, with a status line.
const wireForm = "+OK 51 octets\r\n" + "Subject: x\r\n\r\n..\r\n...a\r\n..b.\r\n\nbare\n.\nlf\rcr\r\n" + ".\r\n"

// rawServer makes a client of a server that sends raw octets in answer to one
// command, and closes.
func rawServer(t *testing.T, command, raw string) *Client {
	t.Helper()
	return connect(t, "C: "+command+"\nRAW "+strconv.Quote(raw)+"\nCLOSE")
}

// RETR cut at every octet is io.ErrUnexpectedEOF, whatever way it is read, and
// breaks the session; nothing but the whole is a message.
func TestRetrCutAtEveryOctet(t *testing.T) {
	readers := map[string]func(*Message) ([]byte, error){
		"Read":    func(m *Message) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{m}) },
		"octets":  func(m *Message) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(m)) },
		"WriteTo": func(m *Message) ([]byte, error) { var b bytes.Buffer; _, err := m.WriteTo(&b); return b.Bytes(), err },
	}
	for name, read := range readers {
		for cut := range len(wireForm) + 1 {
			c := rawServer(t, "RETR 1", wireForm[:cut])
			m, err := c.Retr(t.Context(), 1)
			var got []byte
			if err == nil {
				got, err = read(m)
			}
			if cut == len(wireForm) {
				if err != nil || string(got) != dotted || m.Octets() != int64(len(dotted)) {
					t.Errorf("%s: whole message gives %q, %v", name, got, err)
				}
				if n, err := m.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("%s: after the end: %d, %v", name, n, err)
				}
				if n, err := m.WriteTo(io.Discard); n != 0 || err != nil {
					t.Errorf("%s: after the end: %d, %v", name, n, err)
				}
				continue
			}
			wantUnexpectedEOF(t, err)
			wantBroken(t, c, err)
			if m != nil {
				if _, again := m.Read(make([]byte, 1)); again != err {
					t.Errorf("%s: read again: %v, want %v", name, again, err)
				}
				if _, again := m.WriteTo(io.Discard); again != err {
					t.Errorf("%s: written again: %v, want %v", name, again, err)
				}
				if again := m.Close(); again != err {
					t.Errorf("%s: closed: %v, want %v", name, again, err)
				}
			}
		}
	}
}

// Until a message is read to its end or closed, other calls give ErrBusy and
// send nothing.
func TestMessageMustBeRead(t *testing.T) {
	c := connect(t, "C: RETR 1\nS: +OK\nS: a\nS: .\nC: RETR 2\nS: +OK 3 octets\nS: b\nS: .\nC: NOOP\nS: +OK")
	m, err := c.Retr(t.Context(), 1)
	must(t, err)
	for name, call := range calls(c, t.Context()) {
		if err := call(); err != ErrBusy {
			t.Errorf("%s while a message is open: %v, want ErrBusy", name, err)
		}
	}
	if err := c.Quit(t.Context()); err != ErrBusy {
		t.Errorf("QUIT while a message is open: %v, want ErrBusy", err)
	}
	must(t, m.Close())
	must(t, m.Close())
	if _, err := m.Read(make([]byte, 1)); err != errMessageClosed {
		t.Errorf("reading a closed message: %v", err)
	}
	c.capsKnown = false
	m, err = c.Retr(t.Context(), 2)
	must(t, err)
	if text, err := io.ReadAll(m); string(text) != "b\r\n" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	must(t, m.Close())
	must(t, c.Noop(t.Context()))
}

// Close reads what is left up to a limit, and cuts the connection beyond it.
func TestMessageCloseIsBounded(t *testing.T) {
	c := connect(t, "C: RETR 1\nS: +OK\nS* 20000 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nCLOSE")
	m, err := c.Retr(t.Context(), 1)
	must(t, err)
	err = m.Close()
	if !errors.Is(err, errTooMuch) {
		t.Errorf("Close of an endless message gives %v", err)
	}
	wantBroken(t, c, err)
}

// A writer that fails harms the session no more than a caller that stops.
func TestWriteToFails(t *testing.T) {
	c := connect(t, "C: RETR 1\nS: +OK\nS: a\nS: .\nC: NOOP\nS: +OK")
	m, err := c.Retr(t.Context(), 1)
	must(t, err)
	if _, err := m.WriteTo(failing{}); err != errFull {
		t.Errorf("WriteTo gives %v, want the writer's error", err)
	}
	must(t, m.Close())
	must(t, c.Noop(t.Context()))
	c = connect(t, "C: RETR 1\nS: +OK\nS: a\nS: .")
	m, err = c.Retr(t.Context(), 1)
	must(t, err)
	if _, err := m.WriteTo(short{}); err != io.ErrShortWrite {
		t.Errorf("WriteTo gives %v, want io.ErrShortWrite", err)
	}
}

var errFull = errors.New("disk full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

type short struct{}

func (short) Write(p []byte) (int, error) { return len(p) - 1, nil }

// The size in a reply is taken where it stands as RFC 1939 shows it.
func TestAnnounced(t *testing.T) {
	for text, want := range map[string]int64{
		"120 octets": 120, "0 octets follow": 0, "120": -1, "message follows": -1, "-5 octets": -1,
		"99999999999999999999 octets": -1, "octets": -1, "": -1,
	} {
		if got := announced(text); got != want {
			t.Errorf("announced(%q) = %d, want %d", text, got, want)
		}
	}
}

// Messages pass whole whatever is in them: long lines, NUL, 8-bit octets.
func TestRetrOctets(t *testing.T) {
	all := make([]byte, 0, 1<<16)
	for i := range 1 << 16 {
		if b := byte(i * 7); b != '\n' && b != '\r' {
			all = append(all, b)
		}
	}
	message := strings.Repeat(string(all), 3)
	c := rawServer(t, "RETR 1", "+OK\r\n"+message+"\r\n.\r\n")
	m, err := c.Retr(context.Background(), 1)
	must(t, err)
	got, err := io.ReadAll(m)
	if err != nil || string(got) != message+"\r\n" {
		t.Errorf("got %d octets, %v, want %d", len(got), err, len(message)+2)
	}
}
