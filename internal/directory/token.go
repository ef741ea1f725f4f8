package directory

import (
	"context"
	"errors"
	"fmt"

	"github.com/poplin-mail/poplin/pop3server"
)

// Token implements pop3server.TokenAuthenticator. Where a source knows the
// user of the token too, what it says counts: a user whom it keeps out is
// kept out.
func (d *Directory) Token(ctx context.Context, login pop3server.Login) (pop3server.Account, error) {
	if d.opts.Tokens == nil {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	user, err := d.opts.Tokens.Token(ctx, login)
	if err != nil {
		return pop3server.Account{}, err
	}
	if user == nil {
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	if err := CheckName(user.Name); err != nil {
		return pop3server.Account{}, fmt.Errorf("%w: the token's user cannot be one: %w", pop3server.ErrBadCredentials, err)
	}
	known := *user // the source may give the same one to others
	own := &found{user: &known}
	if err := own.check(); err != nil {
		return pop3server.Account{}, fault("what a token says of a user", err)
	}
	login.Username = user.Name
	f, err := d.find(ctx, login)
	if err != nil {
		return pop3server.Account{}, err
	}
	if f == nil {
		return d.admit(own, nil)
	}
	if user.Deny != nil {
		f.user.Deny = errors.Join(user.Deny, f.user.Deny)
	}
	return d.admit(f, nil)
}
