package pop3server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// ErrBadCredentials is what an Authenticator returns, wrapped or not, where
// the user name or the password is wrong. The client is told the same in both
// cases, with the code [AUTH] (RFC 3206 section 5).
var ErrBadCredentials = errors.New("wrong user name or password")

// Login is an attempt to log in.
type Login struct {
	Mechanism string // "USER" for USER and PASS, "APOP", or the SASL mechanism
	Username  string // as the client sent it: any octets but CR, LF and NUL
	Password  string // empty for APOP
	Remote    net.Addr
	TLS       *tls.ConnectionState // nil for a connection in clear text
}

// Account is what a successful login gives.
type Account struct {
	Name     string // for logs
	Maildrop string // what Store.Open is asked for
}

// Authenticator says who may log in. It is used by many sessions at once.
//
// Password returns the account, or an error that wraps ErrBadCredentials. It
// ought to take as long for a user name that does not exist as for a wrong
// password. A *pop3.Error goes to the client as it is; any other error is a
// fault, which is logged, and told to the client as [SYS/TEMP].
//
// An Authenticator may implement APOPAuthenticator too.
type Authenticator interface {
	Password(ctx context.Context, login Login) (Account, error)
}

// APOPAuthenticator is an Authenticator that knows the clear text of
// passwords. APOP compares digest, for which pop3.CheckAPOP is made, and
// returns what Password would (RFC 1939 section 7, APOP).
type APOPAuthenticator interface {
	APOP(ctx context.Context, login Login, timestamp, digest string) (Account, error)
}
