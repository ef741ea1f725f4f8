// Package ldapusers finds users in an LDAP directory (RFC 4511) and has their
// passwords checked there, by binding with them, or here, where the directory
// shows the stored ones.
package ldapusers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-ldap/ldap/v3"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/pop3server"
)

const timeout = 10 * time.Second // of a request

// Options say where the directory is and how users are found in it.
type Options struct {
	URL      string // ldap://HOST, ldaps://HOST or ldapi://%2FPATH
	StartTLS bool   // before anything else, on ldap://
	CA       []byte // authorities that vouch for the server, PEM; nil: the machine's

	BindDN, BindPassword string // who searches; BindDN empty: anonymous

	// Either Base and Filter find a user, or UserDN is the entry. {user},
	// {local} and {domain} in Filter and UserDN are escaped.
	Base, Filter string
	UserDN       string

	// NameAttribute holds the user's name. Empty: the name is as it was given,
	// in lower case, for LDAP takes Anna and anna for the same.
	NameAttribute     string
	PasswordAttribute string // with {SCHEME}hash; empty: passwords are checked by binding
	MaildropAttribute string // empty: the maildrop is named as the user
	QuotaAttribute    string // empty: there is none

	Connections int // at most; 0: 8
	Logger      *slog.Logger
}

// Source is a directory.Source over LDAP.
type Source struct {
	opts Options
	pool *pool
}

// New checks the options. A directory that cannot be reached is no error, but
// logged: it may come later.
func New(opts Options) (*Source, error) {
	if path, ok := strings.CutPrefix(opts.URL, "ldapi://"); ok { // escaped, as OpenLDAP has it, which is no URL to Go
		opts.URL = "ldapi://" + strings.NewReplacer("%2f", "/", "%2F", "/").Replace(path)
	}
	u, err := url.Parse(opts.URL)
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" && u.Scheme != "ldapi" || (u.Host == "") != (u.Scheme == "ldapi") {
		return nil, errors.New("the URL of the LDAP server is not ldap://HOST, ldaps://HOST or ldapi://%2FPATH")
	}
	if opts.Connections <= 0 {
		opts.Connections = 8
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	config := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if opts.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(opts.CA) {
			return nil, errors.New("the file of authorities for the LDAP server holds no certificate in PEM")
		}
	}
	if opts.UserDN == "" {
		if _, err := ldap.CompileFilter(fill(opts.Filter, "x@y", ldap.EscapeFilter)); err != nil {
			return nil, fmt.Errorf("the filter %s is not one of LDAP: %w", opts.Filter, err)
		}
		if !strings.Contains(opts.Filter, "{user}") && !strings.Contains(opts.Filter, "{local}") {
			return nil, errors.New("the filter does not say whom to find: it must have {user} or {local}")
		}
	} else if _, err := ldap.ParseDN(fill(opts.UserDN, "x@y", ldap.EscapeDN)); err != nil {
		return nil, fmt.Errorf("the user_dn %s is not the name of an entry: %w", opts.UserDN, err)
	}
	if opts.BindDN != "" && opts.BindPassword == "" {
		return nil, errors.New("bind_dn has no password: set bind_password or bind_password_file")
	}
	s := &Source{opts: opts, pool: newPool(&opts, config)}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.pool.with(ctx, func(*ldap.Conn) error { return nil }); err != nil {
		opts.Logger.Warn("the LDAP server cannot be used: nobody in it can log in until it can", "error", err)
	}
	return s, nil
}

// Close closes the connections, those in use when they are given back.
func (s *Source) Close() error {
	s.pool.close()
	return nil
}

// Lookup implements directory.Source.
func (s *Source) Lookup(ctx context.Context, login pop3server.Login) (*directory.User, error) {
	if directory.CheckName(login.Username) != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	entry := &ldap.Entry{DN: fill(s.opts.UserDN, login.Username, ldap.EscapeDN)}
	if s.searches() {
		err := s.pool.with(ctx, func(conn *ldap.Conn) (err error) {
			entry, err = s.search(conn, login.Username)
			return err
		})
		if err != nil || entry == nil {
			return nil, err
		}
	}
	user := &directory.User{}
	var err error
	if user.Name, err = s.name(entry, login.Username); err != nil || user.Name == "" {
		return nil, err
	}
	if a := s.opts.MaildropAttribute; a != "" {
		user.Maildrop = entry.GetEqualFoldAttributeValue(a)
		if err := directory.CheckName(user.Maildrop); err != nil {
			return nil, fmt.Errorf("LDAP: the maildrop of %s, in %s, cannot be used: %w", entry.DN, a, err)
		}
	}
	if a := s.opts.QuotaAttribute; a != "" {
		if value := entry.GetEqualFoldAttributeValue(a); value != "" {
			if err := user.Keeping.SetOctets(value); err != nil {
				return nil, fmt.Errorf("LDAP: the quota of %s, in %s: %w", entry.DN, a, err)
			}
		}
	}
	if a := s.opts.PasswordAttribute; a != "" {
		user.Secret = entry.GetEqualFoldAttributeValue(a)
		return user, nil
	}
	user.Verify = func(ctx context.Context, password string) error { return s.bind(ctx, entry.DN, password) }
	return user, nil
}

// searches reports whether a user's entry has to be seen. Where its name is
// made from the user's, and nobody is named who may search, binding alone shows
// whether it is there.
func (s *Source) searches() bool {
	o := &s.opts
	return o.UserDN == "" || o.BindDN != "" || o.NameAttribute != "" || o.PasswordAttribute != "" || o.MaildropAttribute != "" || o.QuotaAttribute != ""
}

// name gives the one name of a user: LDAP finds the same entry by many
// spellings, and no spelling may have a maildrop or limits of its own. It is
// empty where only the attribute could tell.
func (s *Source) name(entry *ldap.Entry, given string) (string, error) {
	if s.opts.NameAttribute == "" {
		if strings.Contains(given, "  ") || strings.ContainsFunc(given, func(r rune) bool { return r > unicode.MaxASCII }) {
			return "", nil // RFC 4518 has several spellings of such names
		}
		return strings.ToLower(given), nil
	}
	values := entry.GetEqualFoldAttributeValues(s.opts.NameAttribute)
	if len(values) == 0 {
		return "", fmt.Errorf("LDAP: %s has no %s, the name_attribute", entry.DN, s.opts.NameAttribute)
	}
	name := values[0]
	if err := directory.CheckName(name); err != nil {
		return "", fmt.Errorf("LDAP: the name of %s, in %s, cannot be used: %w", entry.DN, s.opts.NameAttribute, err)
	}
	return name, nil
}

// search finds the entry of a name, nil where there is none.
func (s *Source) search(conn *ldap.Conn, name string) (*ldap.Entry, error) {
	base, scope, filter := s.opts.Base, ldap.ScopeWholeSubtree, fill(s.opts.Filter, name, ldap.EscapeFilter)
	if s.opts.UserDN != "" {
		base, scope, filter = fill(s.opts.UserDN, name, ldap.EscapeDN), ldap.ScopeBaseObject, "(objectClass=*)"
	}
	attributes := []string{s.opts.NameAttribute, s.opts.PasswordAttribute, s.opts.MaildropAttribute, s.opts.QuotaAttribute}
	attributes = slices.DeleteFunc(attributes, func(a string) bool { return a == "" }) // as "" might be taken for all
	if len(attributes) == 0 {
		attributes = []string{"1.1"} // none: RFC 4511 section 4.5.1.8
	}
	result, err := conn.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, int(timeout.Seconds()), false, filter, attributes, nil))
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return nil, nil
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded), err == nil && len(result.Entries) > 1:
		return nil, errors.New("LDAP: the filter finds several entries for one name: it must find one")
	case err != nil:
		return nil, fmt.Errorf("LDAP: %w", err)
	case len(result.Entries) == 0:
		return nil, nil
	}
	return result.Entries[0], nil
}

// bind asks the directory whether a password is right, on a connection of its
// own. A bind without a password is an anonymous one, which always succeeds
// (RFC 4513 section 5.1.2).
func (s *Source) bind(ctx context.Context, dn, password string) error {
	if password == "" {
		return pop3server.ErrBadCredentials
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := s.pool.bind(ctx, dn, password)
	switch {
	case err == nil:
		return nil
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInappropriateAuthentication):
		return pop3server.ErrBadCredentials
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultConstraintViolation, ldap.LDAPResultUnwillingToPerform):
		s.opts.Logger.Info("the LDAP server refuses an account, which may be locked", "error", err)
		return pop3server.ErrBadCredentials
	default:
		return fmt.Errorf("LDAP: %w", err)
	}
}

// Decoy takes as long as asking about a wrong password: it asks for one of
// nobody.
func (s *Source) Decoy(ctx context.Context, password string) error {
	if s.opts.PasswordAttribute != "" {
		return nil
	}
	dn := "cn=nobody," + s.opts.Base
	if s.opts.UserDN != "" {
		dn = fill(s.opts.UserDN, "nobody@nowhere.invalid", ldap.EscapeDN)
	}
	if err := s.bind(ctx, dn, "x"+password); err != nil && !errors.Is(err, pop3server.ErrBadCredentials) {
		return err
	}
	return nil
}

// fill puts a name into a template.
func fill(template, name string, escape func(string) string) string {
	local, domain := name, ""
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		local, domain = name[:at], name[at+1:]
	}
	return strings.NewReplacer("{user}", escape(name), "{local}", escape(local), "{domain}", escape(domain)).Replace(template)
}
