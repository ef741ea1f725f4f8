package pop3server

import (
	"context"
	"errors"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3"
)

// errCut ends a session without a reply: the connection is lost, or part of a
// message is sent, and any more would make the client take it for the whole.
// What was gathered until then still leaves: replies to commands before, and
// the part of the message, which nobody takes for the whole without its end.
var errCut = errors.New("connection cut")

// The negative replies that handlers return. Their texts are the keys of the
// translations in texts.go.
var (
	errUnknown         = &pop3.Error{Text: textUnknown}
	errBeforeLogin     = &pop3.Error{Text: textBeforeLogin}
	errAfterLogin      = &pop3.Error{Text: textAfterLogin}
	errArgument        = &pop3.Error{Text: textArgument}
	errArgumentMissing = &pop3.Error{Text: textArgumentMissing}
	errArgumentSurplus = &pop3.Error{Text: textArgumentSurplus}
	errNumberMissing   = &pop3.Error{Text: textNumberMissing}
	errTop             = &pop3.Error{Text: textTop}
	errNoMessage       = &pop3.Error{Text: textNoMessage}
	errMarked          = &pop3.Error{Text: textMarked}
	errGone            = &pop3.Error{Text: textGone}
	errLineTooLong     = &pop3.Error{Text: textLineTooLong}
	errTLSRequired     = &pop3.Error{Text: textTLSRequired}
	errNoTLS           = &pop3.Error{Text: textNoTLS}
	errTLSActive       = &pop3.Error{Text: textTLSActive}
	errUserFirst       = &pop3.Error{Text: textUserFirst}
	errNoAPOP          = &pop3.Error{Text: textNoAPOP}
	errNoMechanism     = &pop3.Error{Text: textNoMechanism}
	errSASL            = &pop3.Error{Text: textSASL}
	errCancelled       = &pop3.Error{Text: textCancelled}
	errNoLanguage      = &pop3.Error{Text: textNoLanguage}
	errCredentials     = &pop3.Error{Code: pop3.Auth, Text: textCredentials}
	errInUse           = &pop3.Error{Code: pop3.InUse, Text: textInUse}
	errTemporary       = &pop3.Error{Code: pop3.SysTemp, Text: textTemporary}
	errTooMany         = &pop3.Error{Code: pop3.SysTemp, Text: textTooMany}
	errPermanent       = &pop3.Error{Code: pop3.SysPerm, Text: textPermanent}
	errReadOnly        = &pop3.Error{Code: pop3.SysPerm, Text: textReadOnly}
	errLoginDelay      = &pop3.Error{Code: pop3.LoginDelay, Text: textLoginDelay}
	errNotRemoved      = &pop3.Error{Code: pop3.SysTemp, Text: textNotRemoved}
)

// reply sends a command's negative reply, if it has one. This is the only
// place that writes -ERR.
func (s *session) reply(err error) {
	if err == nil {
		return
	}
	if errors.Is(err, errCut) {
		s.closing = true
		return
	}
	e := s.replyFor(err)
	if e.Code != "" {
		s.w.Line("-ERR [", string(e.Code), "] ", s.say(e.Text))
		return
	}
	s.w.Line("-ERR ", s.say(e.Text))
}

// replyFor gives the reply that an error becomes. What is not made for the
// client's eyes is logged and replaced.
func (s *session) replyFor(err error) *pop3.Error {
	var e *pop3.Error
	if errors.As(err, &e) {
		return &pop3.Error{Code: e.Code, Text: pop3.Sanitize(e.Text)}
	}
	switch {
	case errors.Is(err, maildrop.ErrGone):
		return errGone
	case errors.Is(err, maildrop.ErrReadOnly):
		return errReadOnly
	case errors.Is(err, maildrop.ErrInUse):
		return errInUse
	case errors.Is(err, ErrBadCredentials):
		return errCredentials
	}
	if !errors.Is(err, context.Canceled) {
		s.log.Error("command failed", "user", pop3.Sanitize(s.who()), "error", pop3.Sanitize(err.Error()))
	}
	if errors.Is(err, maildrop.ErrPermanent) {
		return errPermanent
	}
	return errTemporary
}

// who is the user for logs: the account, or before login what USER said.
func (s *session) who() string {
	if s.account.Name != "" {
		return s.account.Name
	}
	return s.user
}

// ok writes a positive reply.
func (s *session) ok(text string) { s.w.Line("+OK ", s.say(text)) }
