package pop3server

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

// A mechanism is a row of the table of SASL mechanisms. Its server calls back
// into the exchange with what the client says.
type mechanism struct {
	name  string
	works func(*session) bool // with this Authenticator and connection
	make  func(*exchange) gosasl.Server
}

// mechanisms are in the order in which they are announced: the strongest
// first, for clients that take the first they know.
var mechanisms = []mechanism{
	scram(sasl.SHA256, true), scram(sasl.SHA256, false),
	scram(sasl.SHA1, true), scram(sasl.SHA1, false),
	{gosasl.External, hasCertificate, func(x *exchange) gosasl.Server {
		return gosasl.NewExternalServer(func(identity string) error {
			return x.ask("", "", identity, x.s.srv.auth.(CertificateAuthenticator).Certificate)
		})
	}},
	bearer(gosasl.OAuthBearer), bearer(sasl.XOAUTH2),
	{sasl.CRAMMD5, authenticates[CRAMAuthenticator], func(x *exchange) gosasl.Server {
		return sasl.NewCRAMMD5Server(x.s.srv.opts.Hostname, func(username, challenge, digest string) error {
			return x.ask(username, "", "", func(ctx context.Context, l Login) (Account, error) {
				return x.s.srv.auth.(CRAMAuthenticator).CRAM(ctx, l, challenge, digest)
			})
		})
	}},
	{gosasl.Plain, authenticates[Authenticator], func(x *exchange) gosasl.Server {
		return gosasl.NewPlainServer(func(identity, username, password string) error {
			return x.ask(username, password, identity, x.s.srv.auth.Password)
		})
	}},
	{sasl.Login, authenticates[Authenticator], func(x *exchange) gosasl.Server {
		return sasl.NewLoginServer(func(username, password string) error {
			return x.ask(username, password, "", x.s.srv.auth.Password)
		})
	}},
}

func scram(hash sasl.Hash, plus bool) mechanism {
	works := authenticates[SCRAMAuthenticator]
	if plus {
		works = canBind
	}
	return mechanism{hash.Mechanism(plus), works, func(x *exchange) gosasl.Server {
		binding, _ := x.s.binding()
		offeredPlus := x.s.srv.offers(hash.Mechanism(true)) && canBind(x.s)
		return sasl.NewSCRAMServer(hash, plus, binding, offeredPlus, func(username, identity string) (sasl.Keys, error) {
			return x.lookup(username, identity, hash)
		})
	}}
}

func bearer(name string) mechanism {
	return mechanism{name, authenticates[TokenAuthenticator], func(x *exchange) gosasl.Server {
		return sasl.NewBearerServer(name, func(username, token string) error {
			err := x.ask(username, token, "", x.s.srv.auth.(TokenAuthenticator).Token)
			if told := new(sasl.BearerError); errors.Is(err, ErrBadCredentials) && !errors.As(err, &told) {
				return errors.Join(err, &sasl.BearerError{Status: "invalid_token"})
			}
			return err
		})
	}}
}

// authenticates reports whether the Authenticator is an A.
func authenticates[A any](s *session) bool {
	_, ok := s.srv.auth.(A)
	return ok
}

// hasCertificate reports whether the client showed a certificate, which was
// verified, to an Authenticator that knows users by it.
func hasCertificate(s *session) bool {
	return authenticates[CertificateAuthenticator](s) && s.tls != nil && len(s.tls.VerifiedChains) > 0
}

// canBind reports whether SCRAM can be bound to this TLS connection.
func canBind(s *session) bool {
	_, err := s.binding()
	return authenticates[SCRAMAuthenticator](s) && err == nil
}

func (s *session) binding() (sasl.Binding, error) {
	if s.tls == nil {
		return sasl.Binding{}, errNoTLS
	}
	return sasl.TLSBinding(*s.tls)
}

// offers reports whether the options and the Authenticator allow a mechanism.
func (srv *Server) offers(name string) bool {
	chosen := srv.opts.Mechanisms
	if chosen == nil && name == sasl.CRAMMD5 || chosen != nil && !slices.Contains(chosen, name) {
		return false
	}
	offerer, ok := srv.auth.(Offerer)
	return !ok || offerer.Offers(name)
}

// mechanisms lists what this connection may log in with.
func (s *session) mechanisms() []mechanism {
	if !s.mayLogin() {
		return nil
	}
	var offered []mechanism
	for _, m := range mechanisms {
		if s.srv.offers(m.name) && m.works(s) {
			offered = append(offered, m)
		}
	}
	return offered
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
