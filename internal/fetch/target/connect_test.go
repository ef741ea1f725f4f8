package target

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-smtp"
)

// TestLasts: what somebody must mend is told from what may pass.
func TestLasts(t *testing.T) {
	password := Credentials{User: "anna", Password: func(context.Context) (string, error) { return "s", nil }}
	_, noWay := password.mechanism([]string{"GSSAPI"}, "s", nil)
	token := Credentials{User: "anna", Token: password.Password}
	_, noToken := token.mechanism([]string{"PLAIN"}, "s", new(tls.ConnectionState))
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		io.WriteString(server, "220 x\r\n")
		server.Read(make([]byte, 100))
		io.WriteString(server, "250 x\r\n")
	}()
	noTLS := startTLS(client, "EHLO", "me")
	client.Close()
	reply := func(code int, text string) error { return said(&smtp.SMTPError{Code: code, Message: text}) }
	login := func(err error) error { return refusedLogin("anna", "s3cret", err) }
	no := func(code imap.ResponseCode, text string) error {
		return plain(&imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text})
	}
	command := func(exit string) error {
		c := openCommand(t, exit)
		batch, _ := prepared(t, c, "Subject: x\n\n")
		return c.Deliver(t.Context(), batch)[0]
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{noWay, true},
		{noToken, true},
		{noTLS, true},
		{errExposed, true},
		{command("exit 127"), true},
		{command("exit 126"), true},
		{login(reply(535, "wrong")), true},
		{login(reply(535, "you sent s3cret, in base64 czNjcmV0")), true},
		{login(reply(454, "later")), false},
		{reply(550, "no such user"), true},
		{reply(421, "too many"), false},
		{login(no(imap.ResponseCodeAuthenticationFailed, "wrong")), true},
		{login(no("", "LOGIN failed")), true},
		{login(no(imap.ResponseCodeUnavailable, "later")), false},
		{fmt.Errorf("the folder x cannot be used: %w", no(imap.ResponseCodeNonExistent, "none")), true},
		{fmt.Errorf("the folder x cannot be used: %w", no(imap.ResponseCodeInUse, "later")), false},
		{fmt.Errorf("the server refuses one message after the other: %w", no("", "full")), false},
		{io.EOF, false},
		{errors.New("dial tcp: connection refused"), false},
	} {
		if got := Lasts(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
