package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// key is one key of the file: its place in Config, and what it means.
type key struct {
	name  string                  // with its section: "pop3.listen"
	doc   string                  // for people, in sentences
	field func(c *Config) any     // *string, *[]string, *bool, *int or *time.Duration
	check func(text string) error // of a string, or of each string of a list; nil: any
	least int64                   // of a number or a duration
}

// section is a table of the file with what stands above its keys.
type section struct{ name, doc string }

// sections are in the order in which they are printed.
var sections = []section{
	{"", ""},
	{"pop3", "POP3 in clear text, until the client asks for TLS with STLS."},
	{"pop3s", "POP3 inside TLS from the first octet. This is what mail programs should use (RFC 8314)."},
	{"tls", "The certificate of both. TLS 1.2 is the least version. The files are read again at SIGHUP."},
	{"maildrops", "Where mail is."},
	{"users", "Who may log in."},
	{"limits", "What a client may take. Durations are written as \"90s\", \"10m\", \"1h30m\"."},
	{"log", "Log lines go to standard error. They hold session=, user= and rip=, the remote IP address."},
}

// later are sections that a program of this version does not know yet. They
// are refused with a text of their own: a key without effect would lie.
var later = []string{"lmtp", "console", "fetch"}

var keys = []key{
	{name: "state", field: func(c *Config) any { return &c.State }, check: notEmpty,
		doc: "Folder for what the server makes itself: the self-signed certificate. It is made if it is missing."},
	{name: "hostname", field: func(c *Config) any { return &c.Hostname }, check: hostname,
		doc: "Name of this server, in APOP's timestamp and in the self-signed certificate. Empty: the machine's name."},

	{name: "pop3.listen", field: func(c *Config) any { return &c.POP3.Listen }, check: address,
		doc: "Addresses to listen on, \"host:port\" or \":port\" for all addresses. [] for none."},
	{name: "pop3.require_tls", field: func(c *Config) any { return &c.POP3.RequireTLS },
		doc: "Take passwords after STLS only. false: passwords are taken in clear text too, and anybody on the way can read them."},
	{name: "pop3.apop", field: func(c *Config) any { return &c.POP3.APOP },
		doc: "Offer APOP, for users whose password is stored as {PLAIN}. It rests on MD5: prefer TLS."},

	{name: "pop3s.listen", field: func(c *Config) any { return &c.POP3S.Listen }, check: address,
		doc: "Addresses to listen on, \"host:port\" or \":port\" for all addresses. [] for none."},

	{name: "tls.certificate", field: func(c *Config) any { return &c.TLS.Certificate },
		doc: "File with the certificate and its chain, PEM. Empty: a self-signed one is made below state, which mail programs warn of."},
	{name: "tls.key", field: func(c *Config) any { return &c.TLS.Key },
		doc: "File with the private key, PEM. Only the server should be able to read it."},

	{name: "maildrops.store", field: func(c *Config) any { return &c.Maildrops.Store }, check: oneOf(Maildir, Memory),
		doc: "\"maildir\", which Postfix, Exim, Dovecot and mutt share, or \"memory\", for trying things out: it is empty at each start."},
	{name: "maildrops.path", field: func(c *Config) any { return &c.Maildrops.Path }, check: notEmpty,
		doc: "The Maildir of a user: the folder that holds new/, cur/ and tmp/. {user} is the user's name, {local} what stands before the last @, {domain} what stands behind it."},
	{name: "maildrops.create", field: func(c *Config) any { return &c.Maildrops.Create },
		doc: "Make a Maildir that is missing at login. false: such a login is refused, so that a disk that is not mounted does not look like an empty maildrop, after which mail programs download everything again. `poplin user add` makes the Maildir of a new user."},
	{name: "maildrops.uidl", field: func(c *Config) any { return &c.Maildrops.UIDL }, check: oneOf("", "dovecot", "courier"),
		doc: "Take over the unique-ids of another server, so that no mail program downloads a message twice: \"dovecot\" or \"courier\". Empty: Poplin's own."},
	{name: "maildrops.uidl_format", field: func(c *Config) any { return &c.Maildrops.UIDLFormat },
		doc: "Dovecot's pop3_uidl_format, where uidl is \"dovecot\" and that setting was changed. Empty: Dovecot's default."},

	{name: "users.source", field: func(c *Config) any { return &c.Users.Source }, check: oneOf(File),
		doc: "\"file\" is the only source in this version."},
	{name: "users.file", field: func(c *Config) any { return &c.Users.File }, check: notEmpty,
		doc: "File with a user a line, in the form of Dovecot's passwd-file: name:{SCHEME}hash:... It is edited by `poplin user`, and read again when it changes. Others must not be able to read it."},

	{name: "limits.idle_timeout", field: func(c *Config) any { return &c.Limits.IdleTimeout }, least: int64(10 * time.Minute),
		doc: "How long a client may say nothing: the autologout timer, at least 10 minutes (RFC 1939 section 3). Nothing is deleted by it."},
	{name: "limits.login_timeout", field: func(c *Config) any { return &c.Limits.LoginTimeout }, least: int64(time.Second),
		doc: "How long a client has to log in, TLS included."},
	{name: "limits.write_timeout", field: func(c *Config) any { return &c.Limits.WriteTimeout }, least: int64(time.Second),
		doc: "How long a client may take to accept 16 KiB."},
	{name: "limits.shutdown_grace", field: func(c *Config) any { return &c.Limits.ShutdownGrace },
		doc: "How long sessions may go on when the server is told to end, before they are cut. Nothing is deleted without QUIT."},
	{name: "limits.sessions", field: func(c *Config) any { return &c.Limits.Sessions }, least: 1,
		doc: "Connections at the same time."},
	{name: "limits.sessions_per_address", field: func(c *Config) any { return &c.Limits.SessionsPerAddress }, least: 1,
		doc: "Connections at the same time from one IPv4 address or one IPv6 /64 network."},

	{name: "log.format", field: func(c *Config) any { return &c.Log.Format }, check: oneOf(Text, JSON),
		doc: "\"text\" or \"json\"."},
	{name: "log.level", field: func(c *Config) any { return &c.Log.Level }, check: oneOf("debug", "info", "warn", "error"),
		doc: "The least level that is logged: \"debug\", \"info\", \"warn\" or \"error\". \"warn\" leaves out the line of each session."},
}

func notEmpty(text string) error {
	if text == "" {
		return errors.New("it must not be empty")
	}
	return nil
}

func oneOf(words ...string) func(string) error {
	return func(text string) error {
		quoted := make([]string, len(words))
		for i, w := range words {
			if text == w {
				return nil
			}
			quoted[i] = strconv.Quote(w)
		}
		if guess := nearest(text, words); guess != "" {
			return fmt.Errorf("%q is not known; did you mean %q?", text, guess)
		}
		return fmt.Errorf("%q is not known; it is one of %s", text, strings.Join(quoted, ", "))
	}
}

func address(text string) error {
	if strings.HasPrefix(text, "unix:") {
		return errors.New("POP3 listens on TCP addresses only, such as \"127.0.0.1:110\"")
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not host:port or :port; an IPv6 address stands in square brackets: \"[::1]:110\"", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("the port of %q is not a number from 0 to 65535", text)
	}
	if net.ParseIP(host) == nil && host != "" {
		if err := hostname(host); err != nil {
			return err
		}
	}
	return nil
}

// hostname takes what may stand in a message-id too, since APOP's timestamp
// has its form.
func hostname(text string) error {
	if len(text) > 253 || strings.HasPrefix(text, "-") {
		return fmt.Errorf("%q is not the name of a host", text)
	}
	for _, r := range text {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.') {
			return fmt.Errorf("%q is not the name of a host", text)
		}
	}
	return nil
}
