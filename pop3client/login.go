package pop3client

import (
	"context"
	"slices"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

// Names that Options.Mechanisms may hold besides those of SASL.
const (
	wayUser = "USER" // USER and PASS
	wayAPOP = "APOP"
)

// A way is a row of a table of ways to log in, the strongest first.
type way struct {
	name  string
	bound bool // to the TLS connection, so that it needs a channel binding
	asked bool // used only where Options.Mechanisms names it
	login func(c *Client, ctx context.Context, user, secret string) error
}

var passwordWays = []way{
	scramWay(sasl.SHA256, true), scramWay(sasl.SHA256, false),
	scramWay(sasl.SHA1, true), scramWay(sasl.SHA1, false),
	{name: sasl.CRAMMD5, asked: true, login: mechanismLogin(sasl.NewCRAMMD5Client)},
	{name: wayAPOP, asked: true, login: (*Client).Apop},
	{name: gosasl.Plain, login: mechanismLogin(func(user, password string) gosasl.Client {
		return gosasl.NewPlainClient("", user, password)
	})},
	{name: sasl.Login, login: mechanismLogin(sasl.NewLoginClient)},
	{name: wayUser, login: (*Client).userPass},
}

var tokenWays = []way{
	{name: gosasl.OAuthBearer, login: mechanismLogin(sasl.NewOAuthBearerClient)},
	{name: sasl.XOAUTH2, login: mechanismLogin(sasl.NewXOAUTH2Client)},
}

var externalWays = []way{
	{name: gosasl.External, login: mechanismLogin(func(identity, _ string) gosasl.Client {
		return gosasl.NewExternalClient(identity)
	})},
}

func mechanismLogin(mechanism func(user, secret string) gosasl.Client) func(*Client, context.Context, string, string) error {
	return func(c *Client, ctx context.Context, user, secret string) error {
		return c.Auth(ctx, mechanism(user, secret))
	}
}

// scramWay is SCRAM. Without a binding it tells the server whether this client
// would have bound the exchange, had the server offered it: a server that did
// offer it knows then that somebody in between took the offer away (RFC 5802
// section 6).
func scramWay(hash sasl.Hash, plus bool) way {
	login := func(c *Client, ctx context.Context, user, password string) error {
		caps, err := c.capabilities(ctx)
		if err != nil {
			return err
		}
		binding, _ := c.binding()
		if !plus {
			binding.Data = nil
			if slices.Contains(caps.Mechanisms(), hash.Mechanism(true)) {
				binding.Type = ""
			}
		}
		return c.Auth(ctx, sasl.NewSCRAMClient(hash, user, password, "", binding))
	}
	return way{name: hash.Mechanism(plus), bound: plus, login: login}
}

// binding gives what ties SCRAM to the TLS connection (RFC 9266).
func (c *Client) binding() (sasl.Binding, error) {
	state, ok := c.TLS()
	if !ok || !state.HandshakeComplete {
		return sasl.Binding{}, errNoBinding
	}
	return sasl.TLSBinding(state)
}

func (c *Client) userPass(ctx context.Context, user, password string) error {
	if err := c.User(ctx, user); err != nil {
		return err
	}
	return c.Pass(ctx, password)
}

// Login logs in with a password, by the strongest mechanism on offer:
// SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-1, PLAIN,
// LOGIN, then USER and PASS, which is also for servers that know no CAPA. Those
// that end in -PLUS need TLS with a channel binding. Options.Mechanisms may
// narrow that down, and alone brings in CRAM-MD5 and APOP.
//
// Login tries one way only: nothing weaker follows a refusal, and servers count
// refused passwords. With SCRAM the server must show that it knows the password
// too. One that shows something wrong gives an error that wraps
// sasl.ErrServer, and the connection is closed.
//
// A *MechanismError, which wraps ErrNoLogin, says that nothing on offer can be
// used; ErrInsecure that the connection is in clear text, which
// Options.InsecureAuth or DialInsecure would allow. Neither user name nor
// password was sent then.
func (c *Client) Login(ctx context.Context, user, password string) error {
	if user == "" {
		return argumentError("login", "the user name is empty")
	}
	return c.loginBy(ctx, passwordWays, user, password)
}

// LoginToken logs in with a bearer token of OAuth 2.0, by OAUTHBEARER (RFC
// 7628) where it is on offer, or else by XOAUTH2. Where the server says why it
// does not take the token, the error wraps a *sasl.BearerError. Other errors
// are as for Login, and like a password a token never passes in clear text.
func (c *Client) LoginToken(ctx context.Context, user, token string) error {
	// Octet 1 separates the fields of both mechanisms; RFC 6750 section 2.1
	// has tokens of printable ASCII without blanks.
	if user == "" || strings.Contains(user, "\x01") {
		return argumentError("login", "the user name is empty or holds a control character")
	}
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return argumentError("login", "the token is empty or holds something else than printable ASCII")
	}
	return c.loginBy(ctx, tokenWays, user, token)
}

// LoginExternal logs in as the owner of the certificate that
// Options.TLSConfig.Certificates showed to the server, by EXTERNAL (RFC 4422
// appendix A). The identity is whom to act for, empty for the certificate's
// own. Errors are as for Login; in clear text there is no certificate, so that
// ErrInsecure refuses that too.
func (c *Client) LoginExternal(ctx context.Context, identity string) error {
	return c.loginBy(ctx, externalWays, identity, "")
}

// loginBy logs in by the first of the ways that is allowed, on offer, and
// possible over this connection.
func (c *Client) loginBy(ctx context.Context, ways []way, user, secret string) error {
	switch {
	case !c.mayExpose():
		return ErrInsecure
	case !pop3.ValidArgument(user) || !pop3.ValidArgument(secret):
		return argumentError("login", "user name or password holds CR, LF or NUL")
	}
	caps, err := c.capabilities(ctx)
	if err != nil {
		return err
	}
	e := &MechanismError{Offered: c.offered(caps)}
	for _, w := range ways {
		if !c.allows(w) {
			continue
		}
		e.Allowed = append(e.Allowed, w.name)
		if !slices.Contains(e.Offered, w.name) {
			continue
		}
		if w.bound {
			if _, err := c.binding(); err != nil {
				e.Unbound = err
				continue
			}
		}
		return w.login(c, ctx, user, secret)
	}
	if len(c.options.Mechanisms) > 0 {
		e.Allowed = c.options.Mechanisms
	}
	return e
}

// allows reports whether Options.Mechanisms lets a way be used.
func (c *Client) allows(w way) bool {
	pins := c.options.Mechanisms
	if len(pins) == 0 {
		return !w.asked
	}
	return slices.ContainsFunc(pins, func(pin string) bool { return strings.EqualFold(pin, w.name) })
}

// offered lists the ways to log in that the server knows. One without CAPA is
// from before RFC 2449 and knows USER.
func (c *Client) offered(caps pop3.Capabilities) []string {
	names := caps.Mechanisms()
	if c.timestamp != "" {
		names = append(names, wayAPOP)
	}
	if len(caps) == 0 || caps.Has(pop3.CapUser) {
		names = append(names, wayUser)
	}
	return names
}
