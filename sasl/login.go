// Package sasl holds the SASL mechanisms that github.com/emersion/go-sasl
// lacks, in the interfaces of that package. It does no I/O.
//
// LOGIN is described in draft-murchison-sasl-login. It is obsolete and has
// the same properties as PLAIN (RFC 4616): the password crosses the
// connection as it is, so it belongs under TLS. It is here because servers
// and clients exist that know nothing else.
package sasl

import (
	"bytes"

	"github.com/emersion/go-sasl"
)

// Login is the name of the mechanism LOGIN.
const Login = "LOGIN"

// NewLoginClient makes the client's side of LOGIN. It sends no initial
// response, which many servers do not take, and answers the server's first
// challenge with the user name and the second with the password, whatever
// their text: servers differ in it.
func NewLoginClient(username, password string) sasl.Client {
	return &loginClient{answers: []string{username, password}}
}

type loginClient struct{ answers []string }

// Start implements sasl.Client.
func (c *loginClient) Start() (mech string, ir []byte, err error) { return Login, nil, nil }

// Next implements sasl.Client.
func (c *loginClient) Next([]byte) ([]byte, error) {
	if len(c.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := c.answers[0]
	c.answers = c.answers[1:]
	return []byte(answer), nil
}

// NewLoginServer makes the server's side of LOGIN. It calls authenticate once,
// with what the client sent, and gives its error. An initial response is taken
// for the user name.
func NewLoginServer(authenticate func(username, password string) error) sasl.Server {
	return &loginServer{authenticate: authenticate}
}

type loginServer struct {
	authenticate func(username, password string) error
	username     []byte
	asked        bool // for the user name
	done         bool
}

// Next implements sasl.Server.
func (s *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.done:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case response == nil && s.asked:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case response == nil:
		s.asked = true
		return []byte("Username:"), false, nil
	case s.username == nil:
		s.asked = true
		s.username = append([]byte{}, response...)
		return []byte("Password:"), false, nil
	}
	s.done = true
	if bytes.IndexByte(s.username, 0) >= 0 || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, errNUL
	}
	return nil, true, s.authenticate(string(s.username), string(response))
}
