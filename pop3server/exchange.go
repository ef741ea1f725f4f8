package pop3server

import (
	"context"
	"errors"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

// exchange is one AUTH command: what the client said and what came of it.
type exchange struct {
	s       *session
	ctx     context.Context
	login   Login
	account Account
	asked   bool  // the Authenticator has answered
	err     error // its answer

	// SCRAM asks for keys first, and knows only later whether the client has
	// the password.
	unproved bool
	identity string // whom the client wants to act for
}

// authenticate runs the exchange of challenges and responses, and logs in.
func (s *session) authenticate(ctx context.Context, m mechanism, response []byte) error {
	x := &exchange{s: s, ctx: ctx, login: s.newLogin(m.name, "", "")}
	err := x.run(m.make(x), response)
	if errors.Is(x.err, ErrBadCredentials) {
		// Whatever the client did when it heard: it was a wrong guess.
		s.refused(x.login)
	}
	switch {
	case errors.Is(err, errCut):
		return err
	case x.err != nil:
		return x.err
	case err != nil:
		return err
	case !x.asked:
		return errSASL
	}
	return s.begin(ctx, x.login, x.account)
}

// run goes on until the mechanism is content or fails.
func (x *exchange) run(server gosasl.Server, response []byte) error {
	for {
		challenge, done, err := x.next(server, response)
		if err != nil {
			return errSASL // x.err says more, if there is more to say
		}
		if done {
			return nil
		}
		if response, err = x.s.challenge(challenge); err != nil {
			return err
		}
	}
}

// next takes a step. The step of SCRAM that shows whether the client knows
// the password is a guess, of which the Guard is told before it is checked.
func (x *exchange) next(server gosasl.Server, response []byte) (challenge []byte, done bool, err error) {
	if !x.unproved {
		return server.Next(response)
	}
	x.unproved = false
	own := x.account
	x.account, x.err = x.s.verify(x.ctx, x.login, func(ctx context.Context, login Login) (Account, error) {
		challenge, done, err = server.Next(response)
		switch {
		case errors.Is(err, sasl.ErrAuth), errors.Is(err, ErrBadCredentials):
			return Account{}, ErrBadCredentials
		case err != nil:
			return Account{}, errSASL
		}
		return x.s.actFor(ctx, login, own, x.identity)
	})
	if x.asked = true; x.err != nil {
		return nil, false, x.err
	}
	return challenge, done, nil
}

// ask checks credentials that came in one piece.
func (x *exchange) ask(username, password, identity string, ask ask) error {
	if x.err = x.said(username, password, identity); x.err != nil {
		return x.err
	}
	x.account, x.err = x.s.verify(x.ctx, x.login, func(ctx context.Context, login Login) (Account, error) {
		own, err := ask(ctx, login)
		if err != nil {
			return Account{}, err
		}
		return x.s.actFor(ctx, login, own, identity)
	})
	x.asked = true
	return x.err
}

// lookup gives the keys that SCRAM checks the client's proof with. An error
// that comes with keys is kept for the end of the exchange.
func (x *exchange) lookup(username, identity string, hash sasl.Hash) (sasl.Keys, error) {
	if x.err = x.said(username, "", identity); x.err != nil {
		return sasl.Keys{}, x.err
	}
	x.identity = identity
	keys, account, err := x.s.srv.auth.(SCRAMAuthenticator).SCRAM(x.ctx, x.login, hash)
	if err != nil && !errors.Is(err, ErrBadCredentials) {
		x.err = err
		return sasl.Keys{}, err
	}
	x.account, x.unproved = account, true
	return keys, err
}

// said notes what the client says it is.
func (x *exchange) said(username, password, identity string) error {
	if strings.ContainsAny(username+password+identity, "\r\n\x00") {
		return errSASL
	}
	x.login.Username, x.login.Password = username, password
	return nil
}

// challenge sends a challenge and waits for the response to it. A connection
// that is lost meanwhile ends the session.
func (s *session) challenge(challenge []byte) ([]byte, error) {
	s.w.Line("+ ", pop3.EncodeSASL(challenge))
	err := s.prepare(0)
	var line []byte
	if err == nil {
		line, err = s.r.ReadLine(pop3.MaxAuthLine)
	}
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
