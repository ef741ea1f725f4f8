package pop3server

import (
	"bytes"
	"context"
	"errors"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

// mechanism is a SASL mechanism on offer. Its server calls login once, with
// what the client sent.
type mechanism struct {
	name string
	make func(login func(identity, username, password string) error) gosasl.Server
}

var plaintext = []mechanism{
	{gosasl.Plain, func(login func(identity, username, password string) error) gosasl.Server {
		return gosasl.NewPlainServer(login)
	}},
	{sasl.Login, func(login func(identity, username, password string) error) gosasl.Server {
		return sasl.NewLoginServer(func(username, password string) error { return login("", username, password) })
	}},
}

// mechanisms lists what this connection may log in with.
func (s *session) mechanisms() []mechanism {
	if !s.mayLogin() {
		return nil
	}
	return plaintext
}

// isAuth reports whether a line begins as the AUTH command does.
func isAuth(start []byte) bool { return bytes.EqualFold(start, []byte("AUTH ")) }

// authCmd logs in by SASL (RFC 5034 section 4). Without an argument it lists
// the mechanisms, which is older than CAPA, and what Outlook asks.
func (s *session) authCmd(ctx context.Context, arg argument) error {
	if arg.text == "" {
		s.ok(textMechanisms)
		for _, m := range s.mechanisms() {
			s.w.Line(m.name)
		}
		return s.w.EndList()
	}
	name, initial, given := strings.Cut(arg.text, " ")
	for _, m := range s.mechanisms() {
		if !strings.EqualFold(m.name, name) {
			continue
		}
		var response []byte
		if given {
			var err error
			if response, err = pop3.DecodeInitial(initial); err != nil {
				return errSASL
			}
		}
		return s.authenticate(ctx, m, response)
	}
	if !s.mayLogin() {
		return errTLSRequired
	}
	return errNoMechanism
}

// authenticate runs the exchange of challenges and responses. The mechanism's
// server calls back with the credentials; the maildrop is opened after it,
// when the mechanism is content.
func (s *session) authenticate(ctx context.Context, m mechanism, response []byte) error {
	var login Login
	var called bool
	server := m.make(func(identity, username, password string) error {
		if strings.ContainsAny(username+password, "\r\n") {
			return errSASL
		}
		login, called = s.newLogin(m.name, username, password), true
		if identity != "" && identity != username {
			return ErrBadCredentials // nobody acts for another
		}
		return nil
	})
	for {
		challenge, done, err := server.Next(response)
		switch {
		case errors.Is(err, ErrBadCredentials):
			s.refused(login)
			return err
		case err != nil || done && !called:
			return errSASL
		case done:
			return s.enter(ctx, login, s.srv.auth.Password)
		}
		if response, err = s.challenge(challenge); err != nil {
			return err
		}
	}
}

// challenge sends a challenge and waits for the response to it. A connection
// that is lost meanwhile ends the session.
func (s *session) challenge(challenge []byte) ([]byte, error) {
	s.w.Line("+ ", pop3.EncodeSASL(challenge))
	line, err := s.readLimited(pop3.MaxAuthLine)
	if err != nil {
		s.lost(err)
		return nil, errCut
	}
	if string(line) == "*" { // RFC 5034 section 4
		return nil, errCancelled
	}
	response, err := pop3.DecodeSASL(string(line))
	if err != nil {
		return nil, errSASL
	}
	return response, nil
}
