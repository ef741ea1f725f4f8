package directory

import (
	"context"
	"errors"
	"fmt"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// found is a user that a source knows, or a master user.
type found struct {
	user   *User
	secret *secret
	source int  // its index; that of masters is one above the last
	master bool // and no user of a source
}

// find asks the sources, in their order, for the user of a login. It gives
// nil where none knows the name.
func (d *Directory) find(ctx context.Context, login pop3server.Login) (*found, error) {
	if CheckName(login.Username) != nil {
		return nil, nil
	}
	login.Password = ""
	for i, source := range d.opts.Sources {
		user, err := source.Lookup(ctx, login)
		if err != nil {
			return nil, fault("looking up a user", err)
		}
		if user == nil {
			continue
		}
		known := *user // a source may give the same one to others
		f := &found{user: &known, source: i}
		if err := f.check(); err != nil {
			return nil, fault("what a source says of user "+login.Username, err)
		}
		d.remember(f)
		return f, nil
	}
	return nil, nil
}

// findOrMaster is find, but knows master users too where the login may name
// whom they act for.
func (d *Directory) findOrMaster(ctx context.Context, login pop3server.Login) (*found, error) {
	f, err := d.find(ctx, login)
	if f == nil && err == nil && namesIdentity(login.Mechanism) {
		f, err = d.findMaster(ctx, login, login.Username)
	}
	return f, err
}

// check parses what a source says.
func (f *found) check() error {
	u := f.user
	if err := CheckName(u.Name); err != nil {
		return err
	}
	if f.secret = u.parsed; f.secret == nil {
		s, err := parseSecret(u.Secret)
		if err != nil {
			return err
		}
		f.secret = &s
	}
	if f.secret.out() && u.Deny == nil {
		u.Deny = errLocked
	}
	if u.Maildrop == "" && !f.master {
		u.Maildrop = u.Name
	}
	return nil
}

var errLocked = errors.New("the user's password is locked")

// fault is an error that says nothing of the credentials, whatever it wraps.
func fault(what string, err error) error {
	if errors.Is(err, pop3server.ErrBadCredentials) {
		return fmt.Errorf("%s: %v", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// askTheOthers looks the name up in the sources behind the one that knew it,
// after a wrong password: where no source knows the name all of them are
// asked, and the time must not tell the difference.
func (d *Directory) askTheOthers(ctx context.Context, login pop3server.Login, f *found) {
	if f == nil || f.master {
		return
	}
	login.Password = ""
	for _, source := range d.opts.Sources[f.source+1:] {
		_, _ = source.Lookup(ctx, login) // for the time it takes alone
	}
}

// admit gives the account of a user whose credentials were right, those of an
// app password or, where app is nil, of the user's own.
func (d *Directory) admit(f *found, app *AppPassword) (pop3server.Account, error) {
	if f.user.Deny != nil {
		return pop3server.Account{}, fmt.Errorf("%w: %w", pop3server.ErrBadCredentials, f.user.Deny)
	}
	account := pop3server.Account{Name: f.user.Name, Maildrop: f.user.Maildrop, Expire: f.user.Keeping.Expire}
	if !f.master {
		account.View = d.view(f.user, app)
	}
	return account, nil
}

// mainDevice is the Device of those who log in with the user's own password,
// where the view needs one.
const mainDevice = "main"

func (d *Directory) view(user *User, app *AppPassword) maildrop.View {
	v := d.opts.View
	if user.View != nil {
		v = *user.View
	}
	if app != nil {
		v = app.View.over(v)
		v.Device = app.ID
	} else if v.Device == "" && (v.Keep || v.Recent > 0) {
		v.Device = mainDevice
	}
	return v
}
