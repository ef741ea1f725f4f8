package daemon

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/directory/ldapusers"
	"github.com/poplin-mail/poplin/internal/directory/oauthusers"
	"github.com/poplin-mail/poplin/internal/directory/sqlusers"
)

const maxSecret = 64 << 10 // octets of a file with a secret, or with authorities

// openSources opens what users.source names, in that order. With an error
// none is left open.
func openSources(cfg *config.Config, opts *directory.Options, logger *slog.Logger) error {
	for _, name := range cfg.Users.Source {
		if err := openSource(cfg, name, opts, logger); err != nil {
			for _, s := range opts.Sources {
				s.Close()
			}
			return err
		}
	}
	return nil
}

func openSource(cfg *config.Config, name string, opts *directory.Options, logger *slog.Logger) error {
	var source directory.Source
	var err error
	switch name {
	case config.File:
		source, err = openFile(cfg, logger)
	case config.SQL:
		source, err = openSQL(cfg, logger)
	case config.LDAP:
		source, err = openLDAP(cfg, logger)
	case config.PAM:
		source, err = openPAM(cfg, logger)
	case config.OAuth:
		opts.Tokens, err = openOAuth(cfg, logger)
	default:
		err = fmt.Errorf("users.source: %q is not in this program", name)
	}
	if err == nil && source != nil {
		opts.Sources = append(opts.Sources, source)
	}
	return err
}

func openFile(cfg *config.Config, logger *slog.Logger) (directory.Source, error) {
	file, err := directory.Open(cfg.Users.File, logger)
	if err != nil {
		return nil, usersError(cfg, err)
	}
	if file.Users() == 0 {
		logger.Warn("users file holds no user: nobody can log in", "file", cfg.Users.File)
	}
	return file, nil
}

func openSQL(cfg *config.Config, logger *slog.Logger) (directory.Source, error) {
	c := &cfg.Users.SQL
	dsn, err := sqlDSN(cfg)
	if err != nil {
		return nil, fmt.Errorf("users.sql.dsn_file: %w", err)
	}
	source, err := sqlusers.New(sqlusers.Options{Driver: c.Driver, DSN: dsn, Query: c.Query, Connections: c.Conns, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("users.sql: %w", err)
	}
	return source, nil
}

// sqlDSN gives the address of the database. The file of SQLite is below the
// configuration's folder, as all files are.
func sqlDSN(cfg *config.Config) (string, error) {
	c := &cfg.Users.SQL
	dsn, err := secretOf(c.DSN, c.DSNFile)
	if err == nil && c.Driver == config.SQLite && !filepath.IsAbs(dsn) && cfg.File != "" {
		dsn = filepath.Join(filepath.Dir(cfg.File), dsn)
	}
	return dsn, err
}

func openLDAP(cfg *config.Config, logger *slog.Logger) (directory.Source, error) {
	c := &cfg.Users.LDAP
	password, err := secretOf(c.BindPassword, c.BindPasswordFile)
	if err != nil {
		return nil, fmt.Errorf("users.ldap.bind_password_file: %w", err)
	}
	authorities, err := authoritiesOf(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("users.ldap.ca_file: %w", err)
	}
	source, err := ldapusers.New(ldapusers.Options{
		URL: c.URL, StartTLS: c.StartTLS, CA: authorities,
		BindDN: c.BindDN, BindPassword: password,
		Base: c.Base, Filter: c.Filter, UserDN: c.UserDN,
		NameAttribute: c.NameAttribute, PasswordAttribute: c.PasswordAttribute, MaildropAttribute: c.MaildropAttribute, QuotaAttribute: c.QuotaAttribute,
		Connections: c.Conns, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("users.ldap: %w", err)
	}
	return source, nil
}

func openOAuth(cfg *config.Config, logger *slog.Logger) (directory.TokenSource, error) {
	c := &cfg.Users.OAuth
	secret, err := secretOf(c.ClientSecret, c.ClientSecretFile)
	if err != nil {
		return nil, fmt.Errorf("users.oauth.client_secret_file: %w", err)
	}
	authorities, err := authoritiesOf(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("users.oauth.ca_file: %w", err)
	}
	source, err := oauthusers.New(oauthusers.Options{
		Issuer: c.Issuer, Audience: c.Audience, Scopes: c.Scopes, UserClaim: c.UserClaim,
		JWKSURL: c.JWKSURL, IntrospectionURL: c.IntrospectionURL,
		ClientID: c.ClientID, ClientSecret: secret, CA: authorities, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("users.oauth: %w", err)
	}
	return source, nil
}

// secretOf gives a secret of the configuration, or that of a file, without
// its line end. Others must not be able to read the file.
func secretOf(text, file string) (string, error) {
	if file == "" {
		return text, nil
	}
	data, info, err := directory.ReadRegular(file, maxSecret)
	if errors.Is(err, fs.ErrPermission) {
		// Root could read it, and so could `poplin config check` as root.
		return "", fmt.Errorf("%w: this is %s, who must be able to: give that user the file, with mode 0600, or that user's group, with 0640", err, thisUser())
	}
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("others may read %s: run chmod o= on it", file)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// thisUser gives the name of the user that this process has become.
func thisUser() string {
	id := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}

// authoritiesOf reads a file in PEM, nil where none is configured.
func authoritiesOf(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	data, _, err := directory.ReadRegular(file, 4*maxSecret)
	return data, err
}

// hexKey reads a file that holds a key in hexadecimal digits.
func hexKey(file string) (key [32]byte, err error) {
	text, err := secretOf("", file)
	if err != nil {
		return key, err
	}
	if n, err := hex.Decode(key[:], []byte(text[:min(len(text), 2*len(key))])); err != nil || n != len(key) || len(text) != 2*len(key) {
		return key, fmt.Errorf("%s does not hold 64 hexadecimal digits: `openssl rand -hex 32` makes some", file)
	}
	return key, nil
}
