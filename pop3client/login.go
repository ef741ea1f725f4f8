package pop3client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	gosasl "github.com/emersion/go-sasl"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/sasl"
)

// Login logs in with a password, in the best way that the server's
// capabilities offer: AUTH PLAIN, AUTH LOGIN, then USER and PASS, which is
// also for servers that know no CAPA. It tries one way only, since servers
// count refused passwords. ErrNoLogin says that there is none; ErrInsecure
// that the connection is in clear text, which Options.InsecureAuth or
// DialInsecure would allow. Nothing of the password was sent then.
func (c *Client) Login(ctx context.Context, user, password string) error {
	switch {
	case !c.mayExpose():
		return ErrInsecure
	case user == "":
		return argumentError("login", "the user name is empty")
	case !pop3.ValidArgument(user) || !pop3.ValidArgument(password):
		return argumentError("login", "user name or password holds CR, LF or NUL")
	}
	caps, err := c.capabilities(ctx)
	if err != nil {
		return err
	}
	mechanisms := caps.Mechanisms()
	switch {
	case slices.Contains(mechanisms, gosasl.Plain):
		return c.Auth(ctx, gosasl.NewPlainClient("", user, password))
	case slices.Contains(mechanisms, sasl.Login):
		return c.Auth(ctx, sasl.NewLoginClient(user, password))
	case len(caps) == 0 || caps.Has(pop3.CapUser):
		if err := c.User(ctx, user); err != nil {
			return err
		}
		return c.Pass(ctx, password)
	case len(mechanisms) > 0:
		return fmt.Errorf("%w; it offers %s", ErrNoLogin, pop3.Sanitize(strings.Join(mechanisms, " ")))
	}
	return ErrNoLogin
}
