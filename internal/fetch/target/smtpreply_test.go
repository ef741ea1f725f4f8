package target

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestSMTPReplies: what each negative reply means, at each step, and that the
// next message goes on.
func TestSMTPReplies(t *testing.T) {
	for _, tt := range []struct{ at, reply, want string }{
		{"MAIL", "450 4.7.1 greylisted", "temporary: the server says: 450 4.7.1 greylisted"},
		{"MAIL", "552 5.3.4 too large", "permanent: the server says: 552 5.3.4 too large"},
		{"MAIL", "530 5.7.0 log in first", "down: the server says: 530 5.7.0 log in first"},
		{"MAIL", "421 4.3.2 closing", "down: the server says: 421 4.3.2 closing"},
		{"MAIL", "2 no", "down: "},
		{"RCPT", "450 4.2.1 later", "temporary: "},
		{"RCPT", "452 4.2.2 full", "temporary: "},
		{"RCPT", "550 5.1.1 no such user", "down: the server says: 550 5.1.1 no such user"},
		{"RCPT", "550 no such user", "down: "},
		{"RCPT", "550 5.1.8 sender unknown", "permanent: "},
		{"RCPT", "554 5.7.1 sender blocked", "permanent: "},
		{"RCPT", "552 5.2.2 full", "permanent: "},
		{"RCPT", "354 what", "down: "},
		{"DATA", "451 4.3.0 later", "temporary: "},
		{"DATA", "554 5.5.1 no", "permanent: "},
		{"DATA", "250 no", "down: "},
		{".", "451 4.3.0\x1b[1m later", "temporary: the server says: 451 4.3.0?[1m later"},
		{".", "554-5.6.0 ugly\r\n554 5.6.0 message", "permanent: the server says: 554 5.6.0 ugly message"},
		{".", "", "down: "},
		{".", "nonsense", "down: "},
	} {
		for _, lmtp := range []bool{false, true} {
			var sessions atomic.Int32
			server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
				p.say("220 mx")
				first, begun := sessions.Add(1) == 1, false
				for {
					line := p.hear()
					verb, _, _ := strings.Cut(line, " ")
					verb, _, _ = strings.Cut(verb, ":")
					switch {
					case line == "":
						return
					case first && verb == tt.at && tt.reply == "":
						return
					case first && verb == tt.at:
						first = false
						p.say(tt.reply)
					case verb == "DATA":
						p.say("354 go")
						for line = p.hear(); line != "." && line != ""; line = p.hear() {
						}
						switch {
						case first && tt.at == "." && tt.reply == "":
							return
						case first && tt.at == ".":
							first = false
							p.say(tt.reply)
						default:
							p.say("250 taken")
						}
						begun = false
					case verb == "QUIT":
						p.say("221 bye")
						return
					case verb == "MAIL" && begun:
						p.say("503 5.5.1 nested MAIL")
					default:
						begun = verb != "RSET" && (begun || verb == "MAIL")
						p.say("250 fine")
					}
				}
			})
			s := openSMTP(t, SMTPOptions{ServerOptions: ServerOptions{Address: server.addr, Security: Insecure}, LMTP: lmtp, Recipient: "a@b", Staging: t.TempDir()})
			batch, _ := prepared(t, s, "one\n", "two\n")
			errs := s.Deliver(t.Context(), batch)
			if got := verdict(errs[0]); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%q to %s, LMTP %v: %q, want %q", tt.reply, tt.at, lmtp, got, tt.want)
			}
			down := strings.HasPrefix(tt.want, "down")
			if (errs[1] != nil) != down || sessions.Load() != 1 {
				t.Errorf("%q to %s, LMTP %v: then %v, in %d sessions", tt.reply, tt.at, lmtp, errs[1], sessions.Load())
			}
			// A target that was down is tried again.
			if errs := s.Deliver(t.Context(), batch[1:]); errs[0] != nil {
				t.Errorf("%q to %s, LMTP %v: in the end %v", tt.reply, tt.at, lmtp, errs[0])
			}
		}
	}
}

// TestSMTPSessionEnds: a server that takes some messages in a session gets the
// others in more sessions, and one that takes none is down.
func TestSMTPSessionEnds(t *testing.T) {
	for _, at := range []string{"MAIL", "RCPT", "DATA"} {
		for _, reply := range []string{"421 4.7.0 enough for now", ""} {
			for most, want := range map[int]int{1: 5, 2: 3, 0: 1} {
				var sessions, taken atomic.Int32
				server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
					sessions.Add(1)
					p.say("220 mx")
					had := 0
					for line := p.hear(); line != ""; line = p.hear() {
						switch {
						case strings.HasPrefix(line, at) && had == most:
							if reply != "" {
								p.say(reply)
							}
							return
						case line == "DATA":
							p.say("354 go")
							for line != "." && line != "" {
								line = p.hear()
							}
							had++
							taken.Add(1)
						}
						p.say("250 fine")
					}
				})
				s := openSMTP(t, SMTPOptions{ServerOptions: ServerOptions{Address: server.addr, Security: Insecure}, Recipient: "a@b", Staging: t.TempDir()})
				batch, _ := prepared(t, s, "one\n", "two\n", "three\n", "four\n", "five\n")
				err := errors.Join(s.Deliver(t.Context(), batch)...)
				if (err != nil) != (most == 0) || taken.Load() != int32(min(5, 5*most)) || int(sessions.Load()) != want {
					t.Errorf("%q to %s behind %d messages: %d taken in %d sessions, %v", reply, at, most, taken.Load(), sessions.Load(), err)
				}
			}
		}
	}
}

// verdict gives an error as text.
func verdict(err error) string {
	var refused *Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused) && refused.Permanent:
		return "permanent: " + refused.Reason
	case errors.As(err, &refused):
		return "temporary: " + refused.Reason
	}
	return "down: " + err.Error()
}

// TestSMTPSilence: the server stops answering at each step, or never stops
// answering.
func TestSMTPSilence(t *testing.T) {
	for _, at := range []string{"", "EHLO", "MAIL", "RCPT", "DATA", "endless"} {
		server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
			if at == "" {
				p.hang()
				return
			}
			p.say("220 mx")
			for {
				line := p.hear()
				verb, _, _ := strings.Cut(line, " ")
				switch {
				case line == "":
					return
				case verb == at:
					p.hang()
					return
				case verb == "EHLO" && at == "endless":
					for {
						if _, err := p.Write([]byte(strings.Repeat("250-more and more\r\n", 100))); err != nil {
							return
						}
					}
				}
				p.say("250 fine")
			}
		})
		timeout := 100 * time.Millisecond
		if at == "endless" {
			timeout = time.Minute
		}
		s := openSMTP(t, SMTPOptions{ServerOptions: ServerOptions{Address: server.addr, Security: Insecure, Timeout: timeout}, Recipient: "a@b", Staging: t.TempDir()})
		batch, _ := prepared(t, s, "one\n", "two\n")
		for _, err := range s.Deliver(t.Context(), batch) {
			if err == nil || errors.As(err, new(*Refusal)) || at == "endless" && !errors.Is(err, errMuch) {
				t.Errorf("silence at %q: %v", at, err)
			}
		}
	}
}

// TestSMTPCancelled: also while the server is silent.
func TestSMTPCancelled(t *testing.T) {
	for _, at := range []string{"EHLO", "DATA"} {
		ctx, cancel := context.WithCancel(t.Context())
		server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
			p.say("220 mx")
			for line := p.hear(); line != ""; line = p.hear() {
				if strings.HasPrefix(line, at) {
					cancel()
					p.hang()
					return
				}
				p.say("250 fine")
			}
		})
		s := openSMTP(t, SMTPOptions{ServerOptions: ServerOptions{Address: server.addr, Security: Insecure}, Recipient: "a@b", Staging: t.TempDir()})
		batch, _ := prepared(t, s, "one\n", "two\n")
		for _, err := range s.Deliver(ctx, batch) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled at %s: %v", at, err)
			}
		}
	}
}

// TestSMTPStartTLS: without it nothing is sent, and what comes in clear text
// behind the answer is an attack.
func TestSMTPStartTLS(t *testing.T) {
	for want, lines := range map[string][]string{
		"does not offer STARTTLS":      {"220 mx", "250-mx", "250 SIZE 1000"},
		"the server says: 454 not now": {"220 mx", "250-mx", "250 STARTTLS", "454 not now"},
		"the server says: 554 go away": {"554 go away"},
		"sends more behind its answer": {"220 mx", "250-mx", "250 starttls", "220 go\r\n250 injected"},
		"sends what is no reply":       {"220 mx", "2"},
		"first record does not look":   {"220 mx", "250-mx", "250 STARTTLS", "220 go", "250 no TLS at all"},
		"TLS with":                     {"220 mx", "250-mx", "250 STARTTLS", "220 go", ""},
		"EOF":                          {"220-mx"},
	} {
		var heard []string
		done := make(chan bool)
		server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
			defer close(done)
			for i, line := range lines {
				if i > 0 && !strings.HasPrefix(lines[i-1], "250-") {
					heard = append(heard, p.hear())
				}
				p.say(line)
			}
			if want != "EOF" && want != "TLS with" {
				p.SetReadDeadline(time.Now().Add(10 * time.Second))
				rest, _ := io.ReadAll(p.r)
				heard = append(heard, string(rest))
			}
		})
		s := openSMTP(t, SMTPOptions{ServerOptions: ServerOptions{Address: server.addr, Security: StartTLS}, Recipient: "a@b", Staging: t.TempDir(),
			Credentials: Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s3cret", nil }}})
		batch, _ := prepared(t, s, "one\n")
		err := s.Deliver(t.Context(), batch)[0]
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, new(*Refusal)) {
			t.Errorf("%q: %v", lines, err)
		}
		<-done
		for _, line := range heard {
			if strings.Contains(line, "MAIL") || strings.Contains(line, "AUTH") {
				t.Errorf("%q: the server heard %q", lines, heard)
			}
		}
	}
}
