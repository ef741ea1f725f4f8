package directory

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/poplin-mail/poplin/pop3server"
)

// Master users act for every user that a source knows, and see the whole
// maildrop. They say for whom by the authorization identity of SASL, or by
// logging in as USER*MASTER with their own password. What keeps the user out
// (a locked password, nologin, allow_nets) does not keep a master out, as in
// Dovecot; the same on the master's own line does.
//
// A master is no user, unless a source knows the name too. Then the password
// of the user is the one that counts when logging in by that name.

// openMasters reads the file of masters.
func openMasters(path, mark string, logger *slog.Logger) (*PasswdFile, error) {
	p, err := openPasswdFile(path, "master file", logger, func(name string) error {
		if strings.Contains(name, mark) {
			return fmt.Errorf("the name of a master user holds %q, which stands between user and master", mark)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("master file: %w", err)
	}
	return p, nil
}

// cutMark splits USER*MASTER at the last mark.
func (d *Directory) cutMark(name string) (target, master string, ok bool) {
	at := strings.LastIndex(name, d.opts.MasterMark)
	if d.masters == nil || at < 0 {
		return "", "", false
	}
	return name[:at], name[at+len(d.opts.MasterMark):], true
}

// namesIdentity reports whether a login by the mechanism may say for whom it
// acts.
func namesIdentity(mechanism string) bool {
	return mechanism == "PLAIN" || mechanism == "EXTERNAL" || strings.HasPrefix(mechanism, "SCRAM-")
}

// findMaster finds a master user, nil where there is none of that name. The
// account of one has no maildrop: it is of use to act for others only.
func (d *Directory) findMaster(ctx context.Context, login pop3server.Login, name string) (*found, error) {
	if d.masters == nil {
		return nil, nil
	}
	login.Username = name
	user, err := d.masters.Lookup(ctx, login)
	if user == nil || err != nil {
		return nil, err
	}
	f := &found{user: user, source: len(d.opts.Sources), master: true}
	return f, f.check()
}

// masterPassword logs in USER*MASTER. The user is looked for only after the
// password was found right: who is no master learns nothing of users.
func (d *Directory) masterPassword(ctx context.Context, login pop3server.Login, target, name string) (pop3server.Account, error) {
	m, err := d.masterWith(ctx, login, name)
	if err != nil {
		return pop3server.Account{}, err
	}
	return d.accountOf(ctx, login, m, target)
}

// masterWith gives the master user of a name whose password login.Password
// is.
func (d *Directory) masterWith(ctx context.Context, login pop3server.Login, name string) (*found, error) {
	m, err := d.findMaster(ctx, login, name)
	if err != nil {
		return nil, err
	}
	right, err := d.right(ctx, login, name, m, d.masterDecoy(name))
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, pop3server.ErrBadCredentials
	}
	if _, err := d.admit(m, nil); err != nil {
		return nil, err
	}
	return m, nil
}

// accountOf gives a master user the account of a user.
func (d *Directory) accountOf(ctx context.Context, login pop3server.Login, m *found, target string) (pop3server.Account, error) {
	login.Username = target
	f, err := d.find(ctx, login)
	if err != nil {
		return pop3server.Account{}, err
	}
	if f == nil {
		return pop3server.Account{}, fmt.Errorf("%w: master user %s asks for a user who does not exist", pop3server.ErrBadCredentials, m.user.Name)
	}
	d.log.Info("master user acts for a user", "master", m.user.Name, "user", f.user.Name, "mechanism", login.Mechanism)
	return pop3server.Account{Name: f.user.Name, Maildrop: f.user.Maildrop}, nil
}

// ActFor implements pop3server.Impersonator: everybody acts for himself, and
// master users for all.
func (d *Directory) ActFor(ctx context.Context, login pop3server.Login, own pop3server.Account, identity string) (pop3server.Account, error) {
	if own.Maildrop != "" && fold(own.Name) == fold(identity) {
		return own, nil
	}
	m, err := d.asMaster(ctx, login, own)
	if err != nil {
		return pop3server.Account{}, err
	}
	return d.accountOf(ctx, login, m, identity)
}

// asMaster gives the master user whose login this was. One without a maildrop
// was found among the masters. One whom a source knows as a user too must
// have logged in with the master's password.
func (d *Directory) asMaster(ctx context.Context, login pop3server.Login, own pop3server.Account) (*found, error) {
	if own.Maildrop != "" {
		if login.Mechanism != "PLAIN" {
			return nil, fmt.Errorf("%w: %s may not act for others", pop3server.ErrBadCredentials, own.Name)
		}
		return d.masterWith(ctx, login, own.Name)
	}
	m, err := d.findMaster(ctx, login, own.Name)
	if err == nil && m == nil {
		err = fmt.Errorf("%w: %s may not act for others", pop3server.ErrBadCredentials, own.Name)
	}
	return m, err
}
