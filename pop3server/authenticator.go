package pop3server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/sasl"
)

// ErrBadCredentials is what an Authenticator returns, wrapped or not, where
// the user name or the password is wrong. The client is told the same in both
// cases, with the code [AUTH] (RFC 3206 section 5).
var ErrBadCredentials = errors.New("wrong user name or password")

// Login is an attempt to log in.
type Login struct {
	Mechanism string // "USER" for USER and PASS, "APOP", or the SASL mechanism
	Username  string // as the client sent it: any octets but CR, LF and NUL
	Password  string // or the token of OAUTHBEARER and XOAUTH2; empty where there is none
	Remote    net.Addr
	TLS       *tls.ConnectionState // nil for a connection in clear text
}

// Account is what a successful login gives.
type Account struct {
	Name     string // for logs
	Maildrop string // what Store.Open is asked for
	View     maildrop.View

	// Expire is how long this user's messages are kept, nil where it is as
	// Options.Expire says, and 0 for ever.
	Expire *time.Duration
}

// Authenticator says who may log in. It is used by many sessions at once.
//
// Password returns the account, or an error that wraps ErrBadCredentials. It
// ought to take as long for a user name that does not exist as for a wrong
// password. A *pop3.Error goes to the client as it is; any other error is a
// fault, which is logged, and told to the client as [SYS/TEMP].
//
// An Authenticator may implement APOPAuthenticator, CRAMAuthenticator,
// SCRAMAuthenticator, TokenAuthenticator, CertificateAuthenticator,
// Impersonator and Offerer too. Their methods give errors as Password does.
type Authenticator interface {
	Password(ctx context.Context, login Login) (Account, error)
}

// APOPAuthenticator is an Authenticator that knows the clear text of
// passwords. APOP compares digest, for which pop3.CheckAPOP is made, and
// returns what Password would (RFC 1939 section 7, APOP).
type APOPAuthenticator interface {
	APOP(ctx context.Context, login Login, timestamp, digest string) (Account, error)
}

// CRAMAuthenticator is an Authenticator that knows the clear text of
// passwords. CRAM compares digest, in hexadecimal, with the one that the
// password gives for the challenge, for which sasl.CheckCRAM is made (RFC
// 2195).
type CRAMAuthenticator interface {
	CRAM(ctx context.Context, login Login, challenge, digest string) (Account, error)
}

// SCRAMAuthenticator is an Authenticator that knows what SCRAM needs of a
// user (RFC 5802 section 3): not the password.
//
// SCRAM gives the keys of login.Username, and the account that the user gets
// by proving to know the password. Where the error wraps ErrBadCredentials
// the keys count nonetheless: the exchange runs with them and is refused at
// its end, so that it does not tell which users exist. They must be the same
// ones for a name each time, and look like those of the other users.
type SCRAMAuthenticator interface {
	SCRAM(ctx context.Context, login Login, hash sasl.Hash) (sasl.Keys, Account, error)
}

// TokenAuthenticator is an Authenticator that takes the bearer tokens of
// OAuth 2.0, in login.Password, by OAUTHBEARER (RFC 7628) and XOAUTH2.
// login.Username is who the client says it is, and is empty where it does not
// say; a token of somebody else is to be refused. An error that holds a
// *sasl.BearerError tells the client what is wrong with the token.
type TokenAuthenticator interface {
	Token(ctx context.Context, login Login) (Account, error)
}

// CertificateAuthenticator is an Authenticator that knows users by the
// certificate of their TLS connection, by EXTERNAL (RFC 4422 appendix A). It
// is asked only where login.TLS holds a certificate that was verified.
// login.Username is empty: whom the client wants to act for is up to the
// Impersonator.
type CertificateAuthenticator interface {
	Certificate(ctx context.Context, login Login) (Account, error)
}

// Impersonator is an Authenticator that lets some users act for others (RFC
// 4616 section 2, the authorization identity). ActFor is asked after the login
// itself was found good and gives the account of identity. Without an
// Impersonator nobody acts for another.
type Impersonator interface {
	ActFor(ctx context.Context, login Login, own Account, identity string) (Account, error)
}

// Offerer is an Authenticator that says which SASL mechanisms are of use
// now. A server offers a mechanism where the Authenticator has its interface,
// Options.Mechanisms does not leave it out, and Offers does not refuse it: a
// client that prefers SCRAM ought not to meet users who have no keys for it.
type Offerer interface {
	Offers(mechanism string) bool
}

// Guard watches logins: it may slow them down and refuse them. It is used by
// many sessions at once.
//
// Attempt is called before credentials are checked, and waits as long as the
// guard sees fit or until ctx ends. With an error nothing is checked, and the
// client gets the error as from Password. Otherwise done is called once with
// how it went: nil for a success, an error that wraps ErrBadCredentials for a
// wrong guess, any other for a fault that says nothing of the guess.
type Guard interface {
	Attempt(ctx context.Context, login Login) (done func(error), err error)
}
