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
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/pop3server"
)

const timeout = 10 * time.Second // of a request

// Options say where the directory is and how users are found in it.
type Options struct {
	URL      string // ldap://HOST, ldaps://HOST or ldapi://PATH, escaped
	StartTLS bool   // before anything else, on ldap://
	CA       []byte // authorities that vouch for the server, PEM; nil: the machine's

	BindDN, BindPassword string // who searches; BindDN empty: anonymous

	// Either Base and Filter find a user, or UserDN is the entry. {user},
	// {local} and {domain} in Filter and UserDN are escaped.
	Base, Filter string
	UserDN       string

	PasswordAttribute string // with {SCHEME}hash; empty: passwords are checked by binding
	MaildropAttribute string // empty: the maildrop is named as the user

	Connections int // at most; 0: 8
	Logger      *slog.Logger
}

// Source is a directory.Source over LDAP.
type Source struct {
	opts  Options
	tls   *tls.Config
	slots chan struct{}   // held while a connection is in use
	idle  chan *ldap.Conn // bound as who searches
}

// New checks the options. A directory that cannot be reached is no error, but
// logged: it may come later.
func New(opts Options) (*Source, error) {
	u, err := url.Parse(opts.URL)
	if err != nil || (u.Scheme != "ldap" && u.Scheme != "ldaps" && u.Scheme != "ldapi") || u.Host == "" && u.Scheme != "ldapi" {
		return nil, errors.New("the URL of the LDAP server is not ldap://HOST or ldaps://HOST")
	}
	if opts.Connections <= 0 {
		opts.Connections = 8
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{opts: opts, slots: make(chan struct{}, opts.Connections), idle: make(chan *ldap.Conn, opts.Connections)}
	s.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if opts.CA != nil {
		s.tls.RootCAs = x509.NewCertPool()
		if !s.tls.RootCAs.AppendCertsFromPEM(opts.CA) {
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
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.with(ctx, func(*ldap.Conn) error { return nil }); err != nil {
		opts.Logger.Warn("the LDAP server cannot be used: nobody in it can log in until it can", "error", err)
	}
	return s, nil
}

// Close closes the connections that are idle.
func (s *Source) Close() error {
	for {
		select {
		case conn := <-s.idle:
			conn.Close()
		default:
			return nil
		}
	}
}

// Lookup implements directory.Source.
func (s *Source) Lookup(ctx context.Context, login pop3server.Login) (*directory.User, error) {
	if directory.CheckName(login.Username) != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var entry *ldap.Entry
	if s.opts.UserDN != "" && s.opts.PasswordAttribute == "" && s.opts.MaildropAttribute == "" {
		entry = &ldap.Entry{DN: fill(s.opts.UserDN, login.Username, ldap.EscapeDN)} // binding shows whether it is there
	} else {
		err := s.with(ctx, func(conn *ldap.Conn) (err error) {
			entry, err = s.search(conn, login.Username)
			return err
		})
		if err != nil || entry == nil {
			return nil, err
		}
	}
	user := &directory.User{Name: login.Username}
	if a := s.opts.MaildropAttribute; a != "" {
		user.Maildrop = entry.GetAttributeValue(a)
		if err := directory.CheckName(user.Maildrop); err != nil {
			return nil, fmt.Errorf("LDAP: the maildrop of %s, in %s, cannot be used: %w", entry.DN, a, err)
		}
	}
	if a := s.opts.PasswordAttribute; a != "" {
		user.Secret = entry.GetAttributeValue(a)
		return user, nil
	}
	user.Verify = func(ctx context.Context, password string) error { return s.bind(ctx, entry.DN, password) }
	return user, nil
}

// search finds the entry of a name, nil where there is none.
func (s *Source) search(conn *ldap.Conn, name string) (*ldap.Entry, error) {
	base, scope, filter := s.opts.Base, ldap.ScopeWholeSubtree, fill(s.opts.Filter, name, ldap.EscapeFilter)
	if s.opts.UserDN != "" {
		base, scope, filter = fill(s.opts.UserDN, name, ldap.EscapeDN), ldap.ScopeBaseObject, "(objectClass=*)"
	}
	attributes := []string{"1.1"} // none: RFC 4511 section 4.5.1.8
	if a := []string{s.opts.PasswordAttribute, s.opts.MaildropAttribute}; a[0]+a[1] != "" {
		attributes = a
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
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err = conn.Bind(dn, password)
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInappropriateAuthentication) {
		return pop3server.ErrBadCredentials
	}
	if err != nil {
		return fmt.Errorf("LDAP: %w", err)
	}
	return nil
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

// with runs do with a connection that is bound as who searches. One that was
// idle may have been closed by the server: then a new one is tried.
func (s *Source) with(ctx context.Context, do func(*ldap.Conn) error) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	for {
		var conn *ldap.Conn
		fresh := false
		select {
		case conn = <-s.idle:
		default:
			fresh = true
			var err error
			if conn, err = s.dialBound(ctx); err != nil {
				return err
			}
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err := do(conn)
		if stop() && !conn.IsClosing() && !ldap.IsErrorWithCode(err, ldap.ErrorNetwork) {
			select {
			case s.idle <- conn:
			default:
				conn.Close()
			}
			return err
		}
		conn.Close()
		if fresh || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

func (s *Source) take(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("LDAP: all %d connections are in use: %w", s.opts.Connections, ctx.Err())
	}
}

func (s *Source) give() { <-s.slots }

func (s *Source) dialBound(ctx context.Context) (*ldap.Conn, error) {
	conn, err := s.dial(ctx)
	if err != nil || s.opts.BindDN == "" {
		return conn, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if s.opts.BindPassword == "" {
		conn.Close()
		return nil, errors.New("LDAP: bind_dn has no password: set bind_password or bind_password_file")
	}
	if err := conn.Bind(s.opts.BindDN, s.opts.BindPassword); err != nil {
		conn.Close()
		return nil, fmt.Errorf("LDAP: binding as %s: %w", s.opts.BindDN, err)
	}
	return conn, nil
}

// dial connects, under TLS where that is asked for.
func (s *Source) dial(ctx context.Context) (*ldap.Conn, error) {
	dialer := &net.Dialer{}
	if by, ok := ctx.Deadline(); ok {
		dialer.Deadline = by
	}
	conn, err := ldap.DialURL(s.opts.URL, ldap.DialWithDialer(dialer), ldap.DialWithTLSConfig(s.tls))
	if err != nil {
		return nil, fmt.Errorf("LDAP: %w", err)
	}
	conn.SetTimeout(timeout)
	if s.opts.StartTLS {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		if err := conn.StartTLS(s.tls); err != nil {
			conn.Close()
			return nil, fmt.Errorf("LDAP: StartTLS: %w", err)
		}
	}
	return conn, nil
}

// fill puts a name into a template.
func fill(template, name string, escape func(string) string) string {
	local, domain := name, ""
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		local, domain = name[:at], name[at+1:]
	}
	return strings.NewReplacer("{user}", escape(name), "{local}", escape(local), "{domain}", escape(domain)).Replace(template)
}
