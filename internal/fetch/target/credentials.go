package target

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

// Credentials are what a user logs in with: the secret is asked for at each
// login. Without a User there is no login.
type Credentials struct {
	User     string
	Password func(ctx context.Context) (string, error)
	Token    func(ctx context.Context) (string, error) // an access token of OAuth 2.0, instead of a password
}

func (c *Credentials) check() error {
	switch {
	case c.User == "" && (c.Password != nil || c.Token != nil):
		return errors.New("there is a password or token, and no user name")
	case c.User != "" && c.Password == nil && c.Token == nil:
		return errors.New("there is a user name, and neither password nor token")
	}
	return nil
}

// secret asks for the password or token.
func (c *Credentials) secret(ctx context.Context) (string, error) {
	ask := c.Password
	if c.Token != nil {
		ask = c.Token
	}
	secret, err := ask(ctx)
	if err == nil && (secret == "" || strings.ContainsAny(secret, "\r\n\x00\x01")) {
		err = errors.New("the password or token is empty, or holds a control character")
	}
	return secret, err
}

// exposed tells that what passes on a connection in clear text leaves this
// machine.
func exposed(c net.Conn) bool {
	switch addr := c.RemoteAddr().(type) {
	case *net.TCPAddr:
		return !addr.IP.IsLoopback()
	case *net.UnixAddr:
		return false
	}
	return true
}

var errExposed = errors.New("the connection is in clear text and not within this machine: no password or token is sent there")

// mechanism gives the strongest way to log in among those that a server
// offers: SCRAM before PLAIN, as in package pop3client.
func (c *Credentials) mechanism(offered []string, secret string, state *tls.ConnectionState) (gosasl.Client, error) {
	has := func(name string) bool {
		return slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, name) })
	}
	if c.Token != nil {
		switch {
		case has(gosasl.OAuthBearer):
			return sasl.NewOAuthBearerClient(c.User, secret), nil
		case has(sasl.XOAUTH2):
			return sasl.NewXOAUTH2Client(c.User, secret), nil
		}
		return nil, fmt.Errorf("the server takes no token: it offers %q", offered)
	}
	var binding sasl.Binding
	if state != nil {
		binding, _ = sasl.TLSBinding(*state)
	}
	for _, hash := range []sasl.Hash{sasl.SHA256, sasl.SHA1} {
		plus := hash.Mechanism(true)
		switch {
		case has(plus) && len(binding.Data) > 0:
			return sasl.NewSCRAMClient(hash, c.User, secret, "", binding), nil
		case has(hash.Mechanism(false)):
			unbound := sasl.Binding{Type: binding.Type}
			if has(plus) {
				unbound.Type = ""
			}
			return sasl.NewSCRAMClient(hash, c.User, secret, "", unbound), nil
		}
	}
	switch {
	case has(gosasl.Plain):
		return gosasl.NewPlainClient("", c.User, secret), nil
	case has(sasl.Login):
		return sasl.NewLoginClient(c.User, secret), nil
	}
	return nil, fmt.Errorf("the server offers no way to log in that is known here: %q", offered)
}

// complete tells whether a login that the server took may be one: SCRAM must
// have shown that the server knows the password too.
func complete(m gosasl.Client) error {
	if d, ok := m.(interface{ Done() bool }); ok && !d.Done() {
		return sasl.ErrServer
	}
	return nil
}

// inItsWords stands for a reply that must not be shown.
const inItsWords = "the server refuses it, in words that hold the password or token"

// refusedLogin is the error of a login that the server refused, without the
// secret, which it may have sent back: plain, or in base64, in whole or in part.
func refusedLogin(user, secret string, err error) error {
	text := err.Error()
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret)
	for _, form := range []string{quoted, secret, pop3.Sanitize(secret)} {
		text = strings.ReplaceAll(text, form, "[...]")
	}
	if reveals(text, secret) {
		text = inItsWords
	}
	return errors.New("login as " + pop3.Sanitize(user+": "+text))
}

// echo is how many octets of a secret are enough to know it by, where a server
// cuts what it sends back.
const echo = 12

// reveals tells whether a text holds a secret, or its beginning. In base64 that
// may begin anywhere, and go on in another line.
func reveals(text, secret string) bool {
	secret = secret[:min(len(secret), echo)]
	if strings.Contains(text, secret) {
		return true
	}
	digits := strings.Map(func(r rune) rune {
		switch {
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		case r == '+', r == '/', r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, text)
	for at := range min(4, len(digits)) {
		part := digits[at:]
		if len(part)%4 == 1 {
			part = part[:len(part)-1]
		}
		decoded, _ := base64.RawStdEncoding.DecodeString(part)
		if strings.Contains(string(decoded), secret) {
			return true
		}
	}
	return false
}
