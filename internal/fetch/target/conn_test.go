package target

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestCut: who ended a connection, and where, stands in the error.
func TestCut(t *testing.T) {
	credentials := Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s3cret", nil }}
	for _, tt := range []struct{ at, smtp, imap string }{
		{"", "before its greeting", "told by the library"},
		{"AUTH", "at the login", "at the login"},
		{"MAIL", "at MAIL", ""},
		{"RCPT", "at RCPT", ""},
		{"DATA", "at DATA", ""},
		{".", "before it said that it has the message", ""},
		{"STATUS", "", "when it was asked for the folder"},
		{"APPEND", "", "before it said that it has the message"},
	} {
		server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
			if tt.at == "" {
				return
			}
			p.say("220 mx")
			for line := p.hear(); line != "" && !strings.HasPrefix(line, tt.at); line = p.hear() {
				switch {
				case strings.HasPrefix(line, "EHLO"):
					p.say("250-mx", "250 AUTH PLAIN")
				case strings.HasPrefix(line, "AUTH"):
					p.say("235 in")
				case line == "DATA":
					p.say("354 go")
					for line = p.hear(); line != "." && line != ""; line = p.hear() {
					}
					if tt.at == "." {
						return
					}
				default:
					p.say("250 fine")
				}
			}
		})
		options := ServerOptions{Address: server.addr, Security: Insecure}
		if tt.smtp != "" {
			s := openSMTP(t, SMTPOptions{ServerOptions: options, Credentials: credentials, Recipient: "a@b", Staging: t.TempDir()})
			batch, _ := prepared(t, s, "one\n")
			tells(t, s.Deliver(t.Context(), batch)[0], server.addr+" ended the connection "+tt.smtp+": ")
		}
		if tt.imap != "" {
			server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) {
				if tt.at == "" {
					return
				}
				p.say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL+] ready")
				for line := p.hear(); line != ""; line = p.hear() {
					tag, command, _ := strings.Cut(line, " ")
					switch {
					case strings.HasPrefix(command, tt.at):
						if tt.at == "APPEND" {
							p.hear()
							p.hear()
							p.hear()
						}
						return
					case strings.HasPrefix(command, "STATUS"):
						p.say(`* STATUS INBOX (UIDNEXT 5 UIDVALIDITY 1)`)
					}
					p.say(tag + " OK [CAPABILITY IMAP4rev1 LITERAL+] fine")
				}
			})
			options.Address = server.addr
			s := openIMAP(t, IMAPOptions{ServerOptions: options, Credentials: credentials, Staging: t.TempDir()})
			batch := staged(t, s, "one\n")
			_, errs := s.Prepare(t.Context(), batch)
			if errs[0] == nil {
				errs = s.Deliver(t.Context(), batch)
			}
			want := server.addr + " ended the connection " + tt.imap + ": "
			if tt.at == "" {
				want = server.addr + ": connection closed before greeting"
			}
			tells(t, errs[0], want)
		}
	}
}

// tells looks for what an error should tell.
func tells(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, new(*Refusal)) {
		t.Errorf("the error is %v, want %q", err, want)
	}
}

// TestSilentPort: a port for TLS says nothing to who speaks clear text.
func TestSilentPort(t *testing.T) {
	server := newScript(t, "tcp", "127.0.0.1:0", (*peer).hang)
	options := ServerOptions{Address: server.addr, Security: Insecure, Timeout: 100 * time.Millisecond}
	want := "if " + server.addr + ` is a port for TLS, set security = "tls"`
	s := openSMTP(t, SMTPOptions{ServerOptions: options, Recipient: "a@b", Staging: t.TempDir()})
	batch, _ := prepared(t, s, "one\n")
	tells(t, s.Deliver(t.Context(), batch)[0], want)
	i := openIMAP(t, IMAPOptions{ServerOptions: options, Staging: t.TempDir(),
		Credentials: Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s3cret", nil }}})
	_, errs := i.Prepare(t.Context(), staged(t, i, "one\n"))
	tells(t, errs[0], want)
}
