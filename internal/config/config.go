// Package config reads poplin.toml. Load gives a Config with every key set,
// to its default where the file does not say; Reference writes the page that
// explains each key. Both rest on one table: keys.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/maildir"
)

// Config is the whole configuration. Paths in it are absolute, or relative to
// the working directory where no file was read.
type Config struct {
	// File is where it was read from; empty for the defaults.
	File string

	State    string
	Hostname string
	User     string // the server becomes this user once its ports are bound; empty: stays
	Group    string // empty: the user's own
	Sandbox  bool

	POP3 struct {
		Listen     []string
		RequireTLS bool
		APOP       bool
	}
	POP3S struct {
		Listen []string
	}
	Proxy struct {
		Trusted []string // networks
	}
	LMTP struct {
		Listen      []string
		SocketMode  string
		SocketGroup string
		Trusted     []string // networks
		Domains     []string
		Separators  string
		Aliases     string
		CatchAll    string
		MaxMessage  Octets
		Sessions    int
	}
	Console struct {
		Listen []string
	}
	TLS struct {
		Certificate []string
		Key         []string // as many as Certificate
		ClientCA    string
		ClientName  string // Email, CommonName or UID
		TicketKeys  string
	}
	ACME struct {
		Domains    []string
		Email      string
		Server     string
		ServerCA   string
		HTTPListen string
		Agree      bool
	}
	Maildrops struct {
		Store      string // Maildir, Bucket or Memory
		Path       string
		Create     bool
		UIDL       string
		UIDLFormat string
		IndexCache Octets
		Bucket     struct {
			Endpoints       []string
			InsecureHTTP    bool
			CAFile          string
			Region          string
			PathStyle       bool
			AccessKey       string
			SecretKey       string
			SecretKeyFile   string
			CredentialsFile string
			Bucket          string
			Buckets         int
			CacheMessages   int
			Economy         bool
			Lease           time.Duration
			Compress        bool
			KeyFiles        []string
		}
	}
	Users struct {
		Source       []string // File, SQL, LDAP, PAM, OAuth
		File         string
		AppPasswords string
		SecretFile   string
		Mechanisms   []string
		CacheTime    time.Duration
		MasterFile   string
		MasterMark   string

		SQL struct {
			Driver  string // PostgreSQL, MySQL or SQLite
			DSN     string
			DSNFile string
			Query   string
			Conns   int
		}
		LDAP struct {
			URL               string
			StartTLS          bool
			CAFile            string
			BindDN            string
			BindPassword      string
			BindPasswordFile  string
			Base              string
			Filter            string
			UserDN            string
			NameAttribute     string
			PasswordAttribute string
			MaildropAttribute string
			QuotaAttribute    string
			Conns             int
		}
		PAM struct {
			Service string
		}
		OAuth struct {
			Issuer           string
			Audience         string
			Scopes           []string
			UserClaim        string
			JWKSURL          string
			IntrospectionURL string
			ClientID         string
			ClientSecret     string
			ClientSecretFile string
			CAFile           string
		}
	}
	Quota struct {
		Octets   Octets
		Messages int
		Over     string // Temporary or Permanent
	}
	Retention struct {
		Expire time.Duration
	}
	Fetch struct {
		Account  // what all have that do not say otherwise
		Parallel int
		Accounts []Account // by name
	}
	Target struct {
		Target
		Targets []Target // by name
	}
	Views struct {
		ReadOnly bool
		Keep     bool
		Recent   time.Duration
		Undo     time.Duration
	}
	Limits struct {
		IdleTimeout        time.Duration
		LoginTimeout       time.Duration
		WriteTimeout       time.Duration
		ShutdownDelay      time.Duration
		ShutdownGrace      time.Duration
		UpgradeGrace       time.Duration
		HandshakeTimeout   time.Duration
		LoginDelay         time.Duration
		Sessions           int
		SessionsPerAddress int
		SessionsPerNetwork int
		SessionsPerUser    int
		Handshakes         int
		KnownNetworks      []string
	}
	Log struct {
		Format string // Text or JSON
		Level  string
	}
}

// Values of keys that are one of a few words.
const (
	Maildir = "maildir" // maildrops.store
	Memory  = "memory"
	Bucket  = "bucket"
	File    = "file" // users.source
	SQL     = "sql"
	LDAP    = "ldap"
	PAM     = "pam"
	OAuth   = "oauth"
	Text    = "text" // log.format
	JSON    = "json"

	PostgreSQL = "postgres" // users.sql.driver
	MySQL      = "mysql"
	SQLite     = "sqlite"

	Email      = "email" // tls.client_name
	CommonName = "cn"
	UID        = "uid"

	Temporary = "temporary" // quota.over
	Permanent = "permanent"
)

// Octets is a size: in the file a number, or text such as "1GiB".
type Octets int64

// Default gives the configuration of an empty file.
func Default() *Config {
	c := new(Config)
	c.State = "/var/lib/poplin"
	c.POP3.Listen = []string{"127.0.0.1:110"}
	c.POP3.RequireTLS = true
	c.POP3S.Listen = []string{":995"}
	c.Maildrops.Store = Maildir
	c.Maildrops.Path = "/var/mail/{user}"
	c.Maildrops.IndexCache = 64 << 20
	c.Maildrops.Bucket.Bucket = "mail"
	c.Maildrops.Bucket.Buckets = 1
	c.Maildrops.Bucket.CacheMessages = bucket.DefaultCacheMessages
	c.Maildrops.Bucket.Lease = 2 * time.Minute
	c.Sandbox = true
	c.LMTP.SocketMode = "0660"
	c.LMTP.Trusted = []string{"127.0.0.0/8", "::1"}
	c.LMTP.Separators = "+"
	c.LMTP.MaxMessage = 100 << 20
	c.LMTP.Sessions = 200
	c.Quota.Over = Temporary
	c.Fetch.Parallel = 4
	c.Fetch.Security = TLS
	c.Fetch.Timeout = 2 * time.Minute
	c.Fetch.Keep = "none"
	c.Fetch.Large = Skip
	c.Fetch.Brake = 1000
	c.Fetch.Interval = 10 * time.Minute
	c.Target.Timeout = 2 * time.Minute
	c.Console.Listen = []string{"127.0.0.1:8110"}
	c.TLS.ClientName = Email
	c.ACME.HTTPListen = ":80"
	c.Users.Source = []string{File}
	c.Users.File = "users"
	c.Users.AppPasswords = "app-passwords"
	c.Users.CacheTime = 10 * time.Minute
	c.Users.MasterMark = "*"
	c.Users.SQL.Driver = PostgreSQL
	c.Users.SQL.Conns = 8
	c.Users.LDAP.Filter = "(mail={user})"
	c.Users.LDAP.Conns = 8
	c.Users.PAM.Service = "poplin"
	c.Users.OAuth.UserClaim = "email"
	c.Limits.IdleTimeout = 10 * time.Minute
	c.Limits.LoginTimeout = 3 * time.Minute
	c.Limits.WriteTimeout = time.Minute
	c.Limits.ShutdownGrace = 10 * time.Second
	c.Limits.UpgradeGrace = time.Hour
	c.Limits.HandshakeTimeout = 15 * time.Second
	c.Limits.Sessions = 20_000
	c.Limits.SessionsPerAddress = 100
	c.Limits.SessionsPerNetwork = 1000
	c.Limits.SessionsPerUser = 20
	c.Limits.Handshakes = 2000
	c.Log.Format = Text
	c.Log.Level = "info"
	return c
}

// maxFile bounds the size of a configuration file, in octets.
const maxFile = 1 << 20

// Load reads a configuration file. The error names every key that is wrong,
// each with file:line:column.
func Load(path string) (*Config, error) {
	data, info, err := directory.ReadRegular(path, maxFile)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	c, err := parse(path, filepath.Dir(abs), bytes.TrimPrefix(data, []byte("\ufeff"))) // Windows' editors begin with a BOM
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		err = c.checkOthers()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// parse reads a configuration. Paths in it are relative to dir.
func parse(file, dir string, data []byte) (*Config, error) {
	c := Default()
	if err := c.decode(file, data); err != nil {
		return nil, err
	}
	c.File = file
	c.views(func(_ string, view *Config) {
		for _, k := range keys {
			if !k.path {
				continue
			}
			switch field := k.field(view).(type) {
			case *string:
				*field = below(dir, *field)
			case *[]string:
				for i := range *field {
					(*field)[i] = below(dir, (*field)[i])
				}
			}
		}
	})
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// below gives a path that is relative to dir, or to the home folder, or is
// absolute or empty already.
func below(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return filepath.Join(dir, path)
}

// check finds what no single key shows.
func (c *Config) check() error {
	if len(c.POP3.Listen)+len(c.POP3S.Listen) == 0 {
		return errors.New("both pop3.listen and pop3s.listen are empty: there is nothing to serve")
	}
	all := slices.Concat(c.POP3.Listen, c.POP3S.Listen)
	for i, addr := range all {
		if slices.Contains(all[:i], addr) && !strings.HasSuffix(addr, ":0") {
			return fmt.Errorf("%s stands twice in pop3.listen and pop3s.listen", addr)
		}
	}
	if len(c.TLS.Certificate) != len(c.TLS.Key) {
		return errors.New("tls.certificate and tls.key belong together: set both, one key for each certificate, or neither for a self-signed certificate")
	}
	if len(c.ACME.Domains) > 0 && !c.ACME.Agree {
		return errors.New("acme.domains is set: set acme.agree = true too, if you agree to the terms of the certificate authority")
	}
	if err := c.checkUsers(); err != nil {
		return err
	}
	if err := c.checkDelivery(); err != nil {
		return err
	}
	if err := c.checkFetch(); err != nil {
		return err
	}
	if err := c.checkBucket(); err != nil {
		return err
	}
	if c.Maildrops.UIDLFormat != "" && c.Maildrops.UIDL != "dovecot" {
		return errors.New(`maildrops.uidl_format is only used with uidl = "dovecot"`)
	}
	if c.Maildrops.Store == Maildir {
		if _, err := maildir.New(c.MaildirOptions()); err != nil {
			return fmt.Errorf("maildrops: %w", err)
		}
	}
	return nil
}

// WithStore gives the configuration with another maildrops.store, for a command
// that needs two of them. The error says what that store lacks.
func (c *Config) WithStore(store string) (*Config, error) {
	other := *c
	other.Maildrops.Store = store
	return &other, other.check()
}

// MaildirOptions gives the options of the Maildirs' store, without a logger.
func (c *Config) MaildirOptions() maildir.Options {
	cache := -1 // none
	if n := c.Maildrops.IndexCache; n > 0 {
		cache = int(min(n, math.MaxInt))
	}
	return maildir.Options{
		Path:       c.Maildrops.Path,
		Create:     c.Maildrops.Create,
		UIDL:       c.Maildrops.UIDL,
		UIDLFormat: c.Maildrops.UIDLFormat,
		IndexCache: cache,
	}
}
