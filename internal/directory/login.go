package directory

import (
	"context"
	"errors"
	"fmt"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
	"github.com/poplin-mail/poplin/sasl"
)

// maxPassword is the longest password that is tried, in octets. The cost of
// some schemes grows with it.
const maxPassword = 1024

// Password implements pop3server.Authenticator. A name that nobody knows
// costs as much as a wrong password.
func (d *Directory) Password(ctx context.Context, login pop3server.Login) (pop3server.Account, error) {
	if target, master, ok := d.cutMark(login.Username); ok {
		return d.masterPassword(ctx, login, target, master)
	}
	f, err := d.findOrMaster(ctx, login)
	if err != nil {
		return pop3server.Account{}, err
	}
	if app := d.appPassword(f, login.Password); app != nil {
		return d.admit(f, app)
	}
	right, err := d.right(ctx, login, login.Username, f, d.decoy(login.Username))
	if err != nil {
		return pop3server.Account{}, err
	}
	if !right {
		d.askTheOthers(ctx, login, f)
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return d.admit(f, nil)
}

// right reports whether login.Password is that of f. Where there is no f, or
// it has no password, the decoy is worked through instead, as a secret would
// be. That it matched is never remembered: the next try would be quicker, and
// tell.
func (d *Directory) right(ctx context.Context, login pop3server.Login, name string, f *found, instead decoy) (bool, error) {
	password := sendable(login.Password)
	possible := f != nil && password == login.Password
	source, name, secret := -1, fold(name), instead.secret
	switch {
	case f != nil && !f.secret.locked():
		source, name, secret = f.source, f.user.Name, f.secret
	case f != nil && f.user.Verify != nil && !f.secret.out():
		right, err := d.cache.do(ctx, d.cache.sum(f.source, f.user.Name, "", password), possible, func() (bool, error) {
			return verify(ctx, f.user, password)
		})
		return right && possible && err == nil, err
	case secret == nil:
		return d.cache.do(ctx, d.cache.sum(source, name, "", password), false, func() (bool, error) {
			return false, instead.source.Decoy(ctx, password)
		})
	default:
		possible = false
	}
	// There is one call for secrets and decoys: some hashes are slower by 6 %
	// where they lie otherwise on the stack.
	right, err := d.compare(ctx, login, source, name, secret, password, possible)
	return right && possible && err == nil, err
}

// sendable gives what is tried in the place of a password that is none, or
// longer than any: a directory server takes an empty one for a login of
// nobody, which succeeds.
func sendable(password string) string {
	if password == "" || len(password) > maxPassword {
		return "-"
	}
	return password
}

// compare checks a password against a stored secret, unless it is remembered
// to be right. It waits for its turn where that costs much. keep has a success
// remembered.
func (d *Directory) compare(ctx context.Context, login pop3server.Login, source int, name string, s *secret, password string, keep bool) (bool, error) {
	if s.cheap {
		return s.match(password), nil
	}
	return d.cache.do(ctx, d.cache.sum(source, name, s.field, password), keep, func() (bool, error) {
		leave, err := d.gate.enter(ctx, placeOf(login.Remote), s.memory)
		if err != nil {
			return false, fmt.Errorf("waiting to check a password: %w", err)
		}
		defer leave()
		return s.match(password), nil
	})
}

func verify(ctx context.Context, user *User, password string) (bool, error) {
	switch err := user.Verify(ctx, password); {
	case err == nil:
		return true, nil
	case errors.Is(err, pop3server.ErrBadCredentials):
		return false, nil
	default:
		return false, fmt.Errorf("asking for a password: %w", err)
	}
}

// clearText gives the user of a login by a mechanism that rests on passwords
// in clear text. possible is false, and text of no use, where there is none.
func (d *Directory) clearText(ctx context.Context, login pop3server.Login) (f *found, text string, possible bool, err error) {
	if f, err = d.find(ctx, login); err != nil {
		return nil, "", false, err
	}
	if f == nil || !f.secret.plain {
		return f, "-", false, nil
	}
	return f, f.secret.text, true, nil
}

// challenged ends a login whose digest was compared.
func (d *Directory) challenged(ctx context.Context, login pop3server.Login, f *found, right bool) (pop3server.Account, error) {
	if !right {
		d.askTheOthers(ctx, login, f)
		return pop3server.Account{}, pop3server.ErrBadCredentials
	}
	return d.admit(f, nil)
}

// APOP implements pop3server.APOPAuthenticator, for users whose password is
// stored in clear text, {PLAIN}, and refuses all others.
func (d *Directory) APOP(ctx context.Context, login pop3server.Login, timestamp, digest string) (pop3server.Account, error) {
	f, text, possible, err := d.clearText(ctx, login)
	if err != nil {
		return pop3server.Account{}, err
	}
	return d.challenged(ctx, login, f, pop3.CheckAPOP(timestamp, text, digest) && possible)
}

// CRAM implements pop3server.CRAMAuthenticator, for the same users as APOP.
func (d *Directory) CRAM(ctx context.Context, login pop3server.Login, challenge, digest string) (pop3server.Account, error) {
	f, text, possible, err := d.clearText(ctx, login)
	if err != nil {
		return pop3server.Account{}, err
	}
	return d.challenged(ctx, login, f, sasl.CheckCRAM(challenge, text, digest) && possible)
}
