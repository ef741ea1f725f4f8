package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/sasl"
)

// TestIMAPRefused: one message that the server does not take does not keep the
// others, whether it says so when it has the message or before.
func TestIMAPRefused(t *testing.T) {
	for _, tt := range []struct {
		err  *imap.Error
		want string
	}{
		{&imap.Error{Type: "NO", Code: imap.ResponseCodeOverQuota, Text: "full"}, "temporary: the server says: NO [OVERQUOTA] full"},
		{&imap.Error{Type: "NO", Code: imap.ResponseCodeTooBig, Text: "big"}, "permanent: the server says: NO [TOOBIG] big"},
		{&imap.Error{Type: "NO", Text: "ugly\x1b"}, "temporary: the server says: NO ugly?"},
		{&imap.Error{Type: "BAD", Text: "what"}, "temporary: the server says: BAD what"},
		{&imap.Error{Type: "NO", Code: imap.ResponseCodeTryCreate, Text: "no folder"}, "down: the server says: NO [TRYCREATE] no folder"},
		{&imap.Error{Type: "NO", Code: imap.ResponseCodeUnavailable, Text: "later"}, "down: "},
	} {
		f, opts := newFolders(t, func(f *folders, _ *imapserver.Options) {
			f.refuse = func(l appended) error {
				if strings.Contains(l.text, "bad") {
					return tt.err
				}
				return nil
			}
		}, IMAPOptions{})
		s := openIMAP(t, opts)
		batch, _ := prepared(t, s, "one\n", "bad\n", "two\n"+strings.Repeat("x", 5000), "bad\n"+strings.Repeat("x", 5000), "three\n")
		errs := s.Deliver(t.Context(), batch)
		down := strings.HasPrefix(tt.want, "down")
		for i, err := range errs {
			got := verdict(err)
			switch {
			case i == 0 && got != "", i == 1 && !strings.HasPrefix(got, tt.want), down && i > 1 && strings.HasPrefix(got, "temp"), !down && i == 3 && !strings.HasPrefix(got, tt.want), !down && i%2 == 0 && got != "":
				t.Errorf("%v: message %d: %q, want %q", tt.err, i, got, tt.want)
			}
		}
		if f.sessions != 1 {
			t.Errorf("%v: %d sessions", tt.err, f.sessions)
		}
	}
}

// imapScript is a scripted server that takes anybody in, and answers APPEND by
// what its function says: "+" to take the message and say OK.
func imapScript(t *testing.T, answer func(p *peer, tag, line string) string) (*script, IMAPOptions, *[]string) {
	t.Helper()
	var mu sync.Mutex
	var took []string
	s := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
		p.say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready")
		for {
			line := p.hear()
			tag, rest, _ := strings.Cut(line, " ")
			verb, _, _ := strings.Cut(rest, " ")
			switch verb {
			case "":
				return
			case "AUTHENTICATE":
				p.say(tag + " OK [CAPABILITY IMAP4rev1 APPENDLIMIT=10000] in")
			case "STATUS":
				p.say("* STATUS INBOX (UIDNEXT 7 UIDVALIDITY 1)", tag+" OK")
			case "LOGOUT":
				p.say("* BYE", tag+" OK")
				return
			case "APPEND":
				mu.Lock() // sessions come one after the other, with nothing that tells the race detector
				reply := answer(p, tag, line)
				mu.Unlock()
				if reply != "+" {
					if reply == "" {
						return
					}
					p.say(reply)
					continue
				}
				p.say("+ go")
				var n int
				fmt.Sscanf(line[strings.LastIndex(line, "{"):], "{%d}", &n)
				text := make([]byte, n)
				if _, err := io.ReadFull(p.r, text); err != nil {
					return
				}
				p.hear()
				mu.Lock()
				took = append(took, string(text))
				mu.Unlock()
				p.say(tag + " OK [APPENDUID 1 7] done")
			default:
				p.say(tag + " OK")
			}
		}
	})
	return s, IMAPOptions{ServerOptions: ServerOptions{Address: s.addr, Security: Insecure}, Staging: t.TempDir(),
		Credentials: Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s3cret", nil }}}, &took
}

// TestIMAPNotAsked: the server refuses before it has the message, over which the
// library ends the connection.
func TestIMAPNotAsked(t *testing.T) {
	n := 0
	server, opts, took := imapScript(t, func(_ *peer, tag, _ string) string {
		if n++; n%2 == 0 {
			return tag + " NO [OVERQUOTA] full"
		}
		return "+"
	})
	s := openIMAP(t, opts)
	batch, _ := prepared(t, s, "0\n", "1\n", "2\n", "3\n", strings.Repeat("x", 10000))
	errs := s.Deliver(t.Context(), batch)
	for i, want := range []string{"", "temporary: the server says: NO [OVERQUOTA] full", "", "temporary: ", "permanent: the message has 10047 octets, and the server takes 10000"} {
		if got := verdict(errs[i]); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("message %d: %q, want %q", i, got, want)
		}
	}
	if len(*took) != 2 || len(server.conns) != 3 {
		t.Errorf("the server has %q in %d sessions", *took, len(server.conns))
	}

	// A server that refuses everything is left alone after a while.
	server, opts, _ = imapScript(t, func(_ *peer, tag, _ string) string { return tag + " NO no" })
	s = openIMAP(t, opts)
	batch, _ = prepared(t, s, slices.Repeat([]string{"x\n"}, refusals+2)...)
	errs = s.Deliver(t.Context(), batch)
	if got := verdict(errs[refusals-1]); got != "temporary: the server says: NO no" {
		t.Errorf("the last that is tried: %q", got)
	}
	if got := verdict(errs[refusals]); !strings.HasPrefix(got, "down: the server refuses one message after the other") || len(server.conns) != refusals {
		t.Errorf("the next: %q, %d sessions", got, len(server.conns))
	}
}

// TestIMAPNoAnswer: the connection ends over a refusal while the server owes the
// answer to another message. Nobody knows whether it has that.
func TestIMAPNoAnswer(t *testing.T) {
	_, opts, _ := imapScript(t, func(p *peer, tag, line string) string {
		p.say("+ go")
		io.CopyN(io.Discard, p.r, int64(len(literal(t, 0, "0\n")))+2)
		second, _, _ := strings.Cut(p.hear(), " ")
		return second + " NO [OVERQUOTA] full"
	})
	for range 20 { // the library tells it in one way or the other
		s := openIMAP(t, opts)
		batch, _ := prepared(t, s, "0\n", "1\n", "2\n")
		errs := s.Deliver(t.Context(), batch)
		if !strings.HasPrefix(verdict(errs[0]), "down") || verdict(errs[1]) != "temporary: the server says: NO [OVERQUOTA] full" || errs[2] != errs[0] {
			t.Errorf("%q", errs)
		}
	}
}

// TestIMAPNoLogin: a server that does not show that it knows the password, and
// one that takes none, get nothing.
func TestIMAPNoLogin(t *testing.T) {
	for caps, want := range map[string]string{"AUTH=SCRAM-SHA-256 SASL-IR": sasl.ErrServer.Error(), "LOGINDISABLED": "no way to log in"} {
		var heard []string
		done := make(chan bool)
		server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
			defer close(done)
			p.say("* OK [CAPABILITY IMAP4rev1 " + caps + "] ready")
			for line := p.hear(); line != ""; line = p.hear() {
				heard = append(heard, line)
				tag, _, _ := strings.Cut(line, " ")
				p.say(tag + " OK [CAPABILITY IMAP4rev1] in")
			}
		})
		s := openIMAP(t, IMAPOptions{ServerOptions: ServerOptions{Address: server.addr, Security: Insecure}, Staging: t.TempDir(),
			Credentials: Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s3cret", nil }}})
		batch := staged(t, s, "one\n")
		_, errs := s.Prepare(t.Context(), batch)
		if errs[0] == nil || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%s: %v", caps, errs[0])
		}
		<-done
		if text := strings.Join(heard, "\n"); strings.Contains(text, "STATUS") || strings.Contains(text, "LOGIN") {
			t.Errorf("%s: the server heard %q", caps, heard)
		}
	}
}

// TestIMAPCut: the connection ends at any point. What the server has said that
// it has is delivered, and nothing else.
func TestIMAPCut(t *testing.T) {
	for _, reply := range []string{"", "hang", "* BYE", "+ go\r\nT1 OK", "nonsense", "T9 OK", "endless"} {
		for at := 1; at <= 3; at++ {
			n := 0
			_, opts, took := imapScript(t, func(p *peer, _, _ string) string {
				if n++; n != at {
					return "+"
				}
				switch reply {
				case "hang":
					p.hang()
					return ""
				case "endless":
					for {
						if _, err := io.WriteString(p, strings.Repeat("* OK more and more\r\n", 100)); err != nil {
							return ""
						}
					}
				}
				p.say(reply)
				return ""
			})
			if opts.Timeout = time.Minute; reply == "hang" {
				opts.Timeout = 100 * time.Millisecond
			}
			s := openIMAP(t, opts)
			batch, _ := prepared(t, s, "0\n", "1\n", "2\n")
			for i, err := range s.Deliver(t.Context(), batch) {
				if (err == nil) != (i < at-1) || errors.As(err, new(*Refusal)) {
					t.Errorf("%q at message %d: message %d: %v", reply, at-1, i, err)
				}
			}
			if len(*took) != at-1 {
				t.Errorf("%q at message %d: the server has %d messages", reply, at-1, len(*took))
			}
		}
	}
}

// TestIMAPCancelled: while the server is silent.
func TestIMAPCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, opts, _ := imapScript(t, func(p *peer, _, _ string) string {
		cancel()
		p.hang()
		return ""
	})
	s := openIMAP(t, opts)
	batch, _ := prepared(t, s, "one\n", "two\n")
	for _, err := range s.Deliver(ctx, batch) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
}

// TestIMAPUnreadable: a message that cannot be read to its end is not there.
func TestIMAPUnreadable(t *testing.T) {
	f, opts := newFolders(t, nil, IMAPOptions{})
	s := openIMAP(t, opts)
	batch, _ := prepared(t, s, strings.Repeat("a line of text\n", 20000))
	at := 1
	for ; ; at++ {
		reads := 0
		s.staging.fs = failingReads{disk.OS{}, &reads, at}
		err := s.Deliver(t.Context(), batch)[0]
		if err == nil {
			break
		}
		if errors.As(err, new(*Refusal)) {
			t.Errorf("read %d fails: %v", at, err)
		}
	}
	for _, l := range f.letters {
		if l.text != literal(t, 0, strings.Repeat("a line of text\n", 20000)) {
			t.Errorf("the server has a message of %d octets", len(l.text))
		}
	}
	if at < 10 {
		t.Errorf("%d reads failed", at-1)
	}
}
