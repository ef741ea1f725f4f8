package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// Options say where users are known and how they may log in. Only Sources or
// Tokens must be set.
type Options struct {
	// Sources are asked in their order. The first one that knows the name
	// decides; an error of one stops the login. The Directory closes them.
	Sources []Source

	// Tokens takes bearer tokens; nil: none are taken.
	Tokens TokenSource

	// AppPasswords is the file with app passwords, which need not exist.
	// Empty: there are none.
	AppPasswords string

	// Master is a passwd-file of users who may act for every other one, and
	// MasterMark stands between user and master in a name, "*" where empty.
	// Master empty: there are none.
	Master     string
	MasterMark string

	// CacheTime is how long a password that was right need not be computed
	// again. 0: the cache is off.
	CacheTime time.Duration

	// Mechanisms are the SASL mechanisms to offer; empty: those that every
	// user can log in with, but for CRAM-MD5.
	Mechanisms []string

	// View is how users see their maildrops where nothing else is said.
	View maildrop.View

	// ClientName says what of a client certificate names the user: "email",
	// "cn" or "uid". Empty: "email".
	ClientName string

	// Key is the secret of the installation. What a client sees of a user who
	// does not exist is made with it, so that it is the same after a restart
	// and on every machine. nil: a random one.
	Key []byte

	Logger *slog.Logger // nil discards
}

// TokenSource takes the bearer tokens of OAuth 2.0. It is used by many
// sessions at once.
type TokenSource interface {
	// Token gives the user whom login.Password, a token, was issued for. A
	// token that is not good, or that is of somebody else than
	// login.Username, where that is set, is an error that wraps
	// ErrBadCredentials; any other error says that it could not be checked.
	Token(ctx context.Context, login pop3server.Login) (*User, error)
}

// Directory answers logins from its sources. It is used by many sessions at
// once.
type Directory struct {
	opts    Options
	log     *slog.Logger
	sums    *sumKey // under Options.Key, or a random one
	known   []known
	masters *PasswdFile            // nil: none
	apps    *watched[appPasswords] // nil: none
	gate    *gate
	cache   *cache
}

var (
	_ pop3server.Authenticator            = (*Directory)(nil)
	_ pop3server.APOPAuthenticator        = (*Directory)(nil)
	_ pop3server.CRAMAuthenticator        = (*Directory)(nil)
	_ pop3server.SCRAMAuthenticator       = (*Directory)(nil)
	_ pop3server.TokenAuthenticator       = (*Directory)(nil)
	_ pop3server.CertificateAuthenticator = (*Directory)(nil)
	_ pop3server.Impersonator             = (*Directory)(nil)
	_ pop3server.Offerer                  = (*Directory)(nil)
)

// New makes a Directory. It reads the files that the options name. With an
// error the sources are still the caller's.
func New(opts Options) (*Directory, error) {
	if len(opts.Sources) == 0 && opts.Tokens == nil {
		return nil, errors.New("no source of users is configured")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MasterMark == "" {
		opts.MasterMark = "*"
	}
	if opts.ClientName == "" {
		opts.ClientName = clientEmail
	}
	if !slices.Contains([]string{clientEmail, clientCN, clientUID}, opts.ClientName) {
		return nil, fmt.Errorf("a client certificate's name is %q, %q or %q, not %q", clientEmail, clientCN, clientUID, opts.ClientName)
	}
	d := &Directory{opts: opts, log: opts.Logger, known: make([]known, len(opts.Sources)),
		gate: newGate(hashMemory), cache: newCache(opts.CacheTime)}
	key := opts.Key
	if len(key) == 0 {
		key = make([]byte, 32)
		rand.Read(key) // never fails
	}
	d.sums = newSumKey(key)
	if opts.Master != "" {
		var err error
		if d.masters, err = openMasters(opts.Master, opts.MasterMark, opts.Logger); err != nil {
			return nil, err
		}
	}
	if opts.AppPasswords != "" {
		d.apps = newAppFile(opts.AppPasswords, opts.Logger)
		if err := d.apps.reload(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Reload reads all files again now. What cannot be read stays as it was, and
// is in the error.
func (d *Directory) Reload() error {
	var errs []error
	for _, s := range d.opts.Sources {
		if r, ok := s.(interface{ Reload() error }); ok {
			errs = append(errs, r.Reload())
		}
	}
	if d.masters != nil {
		errs = append(errs, d.masters.Reload())
	}
	if d.apps != nil {
		errs = append(errs, d.apps.reload())
	}
	return errors.Join(errs...)
}

// Close closes the sources.
func (d *Directory) Close() error {
	var errs []error
	for _, s := range d.opts.Sources {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
