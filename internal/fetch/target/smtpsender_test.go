package target

import (
	"slices"
	"strings"
	"testing"
)

// TestSMTPSenderRefused: a refusal without a status is about the sender where
// the server takes the recipient from nobody; an address that it cannot read is
// that of nobody.
func TestSMTPSenderRefused(t *testing.T) {
	const spam, fine = "Return-Path: <spam@example.net>\n", "Return-Path: <anna@example.org>\n"
	for name, tt := range map[string]struct {
		replies map[string]string // to the verb and the sender; else 250
		texts   []string
		want    []string
		rcpts   int
	}{
		"the sender at RCPT": {map[string]string{"RCPT spam@example.net": "550 Sender verify failed"},
			[]string{spam, fine}, []string{"permanent: the server says: 550 Sender verify failed", ""}, 3},
		"the recipient": {map[string]string{"RCPT spam@example.net": "550 no such user", "RCPT ": "550 no such user"},
			[]string{spam, fine}, []string{"down: the server says: 550 no such user", "down: the server says: 550 no such user"}, 2},
		"the recipient, with a status": {map[string]string{"RCPT spam@example.net": "550 5.1.1 no such user"},
			[]string{spam, fine}, []string{"down: the server says: 550 5.1.1 no such user", "down: the server says: 550 5.1.1 no such user"}, 1},
		"nobody at MAIL too": {map[string]string{"RCPT spam@example.net": "550 no", "MAIL ": "550 not from nobody"},
			[]string{spam}, []string{"down: the server says: 550 no"}, 1},
		"the address of the sender": {map[string]string{"MAIL spam@example.net": "501 bad address"}, []string{spam, fine}, []string{"", ""}, 2},
		"with a status":             {map[string]string{"MAIL spam@example.net": "501 5.5.4 bad address"}, []string{spam, fine}, []string{"", ""}, 2},
		"with its own status":       {map[string]string{"MAIL spam@example.net": "550 5.1.7 bad address"}, []string{spam, fine}, []string{"", ""}, 2},
		"the sender at MAIL": {map[string]string{"MAIL spam@example.net": "553 5.1.8 no such domain"},
			[]string{spam, fine}, []string{"permanent: the server says: 553 5.1.8 no such domain", ""}, 1},
		"the address, and nobody": {map[string]string{"MAIL spam@example.net": "501 bad address", "MAIL ": "550 not from nobody"},
			[]string{spam, fine}, []string{"permanent: the server says: 501 bad address", ""}, 1},
	} {
		for _, lmtp := range []bool{false, true} {
			rcpts := 0
			server := newScript(t, "tcp", "127.0.0.1:0", func(p *peer) { rcpts += senders(p, tt.replies) })
			s := openSMTP(t, SMTPOptions{ServerOptions: ServerOptions{Address: server.addr, Security: Insecure}, LMTP: lmtp, Recipient: "a@b", Staging: t.TempDir()})
			batch, _ := prepared(t, s, tt.texts...)
			var got []string
			for _, err := range s.Deliver(t.Context(), batch) {
				got = append(got, verdict(err))
			}
			s.Close()
			server.l.Close()
			server.wait.Wait()
			if !slices.Equal(got, tt.want) || rcpts != tt.rcpts {
				t.Errorf("%s, LMTP %v: %q with %d RCPT, want %q with %d", name, lmtp, got, rcpts, tt.want, tt.rcpts)
			}
		}
	}
}

// senders is a session in which replies depend on the sender. It gives how many
// RCPT it had.
func senders(p *peer, replies map[string]string) (rcpts int) {
	sender := "none"
	p.say("220 mx")
	for line := p.hear(); line != ""; line = p.hear() {
		verb := strings.ToUpper(line[:min(4, len(line))])
		switch verb {
		case "MAIL":
			if sender != "none" {
				p.say("503 5.5.1 nested MAIL")
				continue
			}
			_, sender, _ = strings.Cut(line, "<")
			sender, _, _ = strings.Cut(sender, ">")
		case "RCPT":
			rcpts++
		case "DATA":
			p.say("354 go")
			for line != "." && line != "" {
				line = p.hear()
			}
		}
		reply, refused := replies[verb+" "+sender]
		switch {
		case verb == "QUIT":
			p.say("221 bye")
			return rcpts
		case refused:
			p.say(reply)
		default:
			p.say("250 fine")
		}
		if verb == "RSET" || verb == "DATA" || verb == "MAIL" && refused {
			sender = "none"
		}
	}
	return rcpts
}
