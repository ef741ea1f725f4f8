package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch"
)

// Account is a maildrop on somebody's server: a table [fetch.NAME].
type Account struct {
	Name     string // of the table
	Disabled bool

	Server     string // host, or host:port
	Security   string // TLS, STLS or Insecure
	Provider   string
	Mechanisms []string
	TLSPin     string
	TLSCAFile  string
	Timeout    time.Duration

	Login

	To         []string
	Keep       string
	MaxMessage Octets
	Rate       Octets // a second; 0: as fast as it comes
	Large      string // Skip or Header
	Brake      int
	Interval   time.Duration
	OnNew      string
	OnError    string
}

// Values that more than one key has.
const (
	TLS      = "tls"
	STLS     = "stls"
	Insecure = "insecure"

	Skip   = "skip"
	Header = "header"
)

// fetchKeys are those of [fetch], which are the defaults of all accounts, and
// of each [fetch.NAME].
var fetchKeys = slices.Concat([]key{
	{name: "fetch.parallel", field: func(c *Config) any { return &c.Fetch.Parallel }, least: 1,
		doc: "Accounts that are fetched at the same time. It stands in [fetch] only."},
	{name: "fetch.disabled", field: func(c *Config) any { return &c.Fetch.Disabled },
		doc: "The account is left out unless it is named on the command line."},
	{name: "fetch.server", field: func(c *Config) any { return &c.Fetch.Server }, check: server,
		doc: "The server, such as \"pop.example.org\" or \"pop.example.org:995\"."},
	{name: "fetch.security", field: func(c *Config) any { return &c.Fetch.Security }, check: oneOf(TLS, STLS, Insecure),
		doc: "\"tls\": TLS from the first octet, port 995. \"stls\": TLS by STLS, port 110; without it nothing is fetched. \"insecure\": passwords and mail in clear text."},
	{name: "fetch.provider", field: func(c *Config) any { return &c.Fetch.Provider },
		doc: "The habits of a provider, such as \"gmail\", \"outlook\", \"yahoo\". Empty: known by the server's name. \"none\": no habits."},
	{name: "fetch.mechanisms", field: func(c *Config) any { return &c.Fetch.Mechanisms },
		doc: "The ways to log in that may be used, such as [\"SCRAM-SHA-256\"]: SASL mechanisms, \"USER\", \"APOP\". The strongest on offer is used, nothing else is ever tried. [] means all but those that rest on MD5."},
	{name: "fetch.tls_pin_sha256", field: func(c *Config) any { return &c.Fetch.TLSPin }, check: pin,
		doc: "SHA-256 of the server's certificate, in hexadecimal, which is then trusted, and no other, whoever signed it. `poplin doctor` shows it."},
	{name: "fetch.tls_ca_file", field: func(c *Config) any { return &c.Fetch.TLSCAFile }, path: true,
		doc: "PEM file with the authorities to trust, instead of those of the system."},
	{name: "fetch.timeout", field: func(c *Config) any { return &c.Fetch.Timeout }, least: int64(time.Second),
		doc: "How long the server may be silent."},
}, loginKeys("fetch", "The user's name on the server, often the whole address.", func(c *Config) *Login { return &c.Fetch.Login }), []key{
	{name: "fetch.to", field: func(c *Config) any { return &c.Fetch.To },
		doc: "Where the mail goes, one or more: \"maildir:PATH\", \"mbox:PATH\", \"lmtp:unix:PATH\", \"lmtp:HOST:PORT\", \"smtp:HOST:PORT\", \"imap:HOST\", \"command:TEXT\", or the NAME of a [target.NAME]. A message is deleted on the server only when all have it."},
	{name: "fetch.keep", field: func(c *Config) any { return &c.Fetch.Keep }, check: policy,
		doc: "What stays on the server, of what is safe here: \"none\", \"all\", \"14d\" (since it was fetched), \"newest 500\", \"until 200MiB free of 1GiB\", and such terms joined by \"or\" (any of them keeps a message) or \"and\" (all of them do)."},
	{name: "fetch.max_message", field: func(c *Config) any { return &c.Fetch.MaxMessage },
		doc: "Octets above which a message is left on the server. 0: none is."},
	{name: "fetch.rate", field: func(c *Config) any { return &c.Fetch.Rate },
		doc: "Octets a second that come from the server at most, such as \"500KiB\", for lines that are shared. 0: as fast as they come."},
	{name: "fetch.large", field: func(c *Config) any { return &c.Fetch.Large }, check: oneOf(Skip, Header),
		doc: "What comes of larger ones: \"skip\" nothing, \"header\" the header. They stay on the server."},
	{name: "fetch.brake", field: func(c *Config) any { return &c.Fetch.Brake }, least: 1,
		doc: "Messages of earlier runs that one run may delete. More wants `poplin fetch --delete`: it may be a mistake in keep."},
	{name: "fetch.interval", field: func(c *Config) any { return &c.Fetch.Interval }, least: int64(time.Second),
		doc: "How often `poplin fetch --daemon` looks for new mail. A server that asks for more time between logins gets it."},
	{name: "fetch.on_new", field: func(c *Config) any { return &c.Fetch.OnNew },
		doc: "Command that is run when mail came, with POPLIN_ACCOUNT and POPLIN_COUNT in its environment."},
	{name: "fetch.on_error", field: func(c *Config) any { return &c.Fetch.OnError },
		doc: "Command that is run when an account fails in a way that somebody must mend, with POPLIN_ACCOUNT and POPLIN_ERROR."},
})

// server takes a host, with or without a port.
func server(text string) error {
	if text == "" {
		return nil
	}
	host := text
	if h, port, err := net.SplitHostPort(text); err == nil {
		if err := address(":" + port); err != nil {
			return err
		}
		host = h
	}
	if net.ParseIP(host) != nil {
		return nil
	}
	return hostname(host)
}

var pinForm = regexp.MustCompile(`^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$`)

func pin(text string) error {
	if text != "" && !pinForm.MatchString(text) {
		return fmt.Errorf("%q is not 64 hexadecimal digits", text)
	}
	return nil
}

func policy(text string) error {
	_, err := fetch.ParsePolicy(text)
	return err
}

// named are the sections that hold tables of the user's naming, which inherit
// what stands in the section itself.
var named = []string{"fetch", "target"}

// tableName is what a table may be called. It becomes the name of a folder.
var tableName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// reservedNames are words of the command line.
var reservedNames = []string{"login", "setup"}

// CheckAccountName tells why a table cannot be called so.
func CheckAccountName(name string) error {
	if !tableName.MatchString(name) || slices.Contains(reservedNames, name) {
		return fmt.Errorf("%q: a name is of letters, digits and . _ - and is none of %s", name, strings.Join(reservedNames, ", "))
	}
	return nil
}

// setNamed takes in a table [section.name].
func (c *Config) setNamed(section, name string, values map[string]any, wrong map[string]error) {
	whole := section + "." + name
	if err := CheckAccountName(name); err != nil {
		wrong[whole] = fmt.Errorf("[%s.NAME]: %w", section, err)
		return
	}
	one := *c // with the section's own as defaults
	for last, value := range values {
		full := section + "." + last
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == full })
		switch {
		case i < 0:
			_, isTable := value.(map[string]any)
			wrong[whole+"."+last] = unknown(full, isTable)
		case full == "fetch.parallel":
			wrong[whole+"."+last] = errors.New("parallel stands in [fetch], for all accounts together")
		default:
			if err := keys[i].set(&one, value); err != nil {
				wrong[whole+"."+last] = fmt.Errorf("%s.%s: %w", whole, last, err)
			}
		}
	}
	if section == "fetch" {
		one.Fetch.Name = name
		c.Fetch.Accounts = append(c.Fetch.Accounts, one.Fetch.Account)
	} else {
		one.Target.Name = name
		c.Target.Targets = append(c.Target.Targets, one.Target.Target)
	}
}

// views calls f with the configuration itself, and then for each table that
// the user named with one in which its section is that table.
func (c *Config) views(f func(name string, view *Config)) {
	f("", c)
	for i := range c.Fetch.Accounts {
		one := *c
		one.Fetch.Account = c.Fetch.Accounts[i]
		f("fetch."+one.Fetch.Name, &one)
		c.Fetch.Accounts[i] = one.Fetch.Account
	}
	for i := range c.Target.Targets {
		one := *c
		one.Target.Target = c.Target.Targets[i]
		f("target."+one.Target.Name, &one)
		c.Target.Targets[i] = one.Target.Target
	}
}

// checkFetch finds what accounts and targets still need.
func (c *Config) checkFetch() error {
	for i := range c.Target.Targets {
		t := &c.Target.Targets[i]
		if err := t.check(); err != nil {
			return fmt.Errorf("[target.%s] %w", t.Name, err)
		}
	}
	for i := range c.Fetch.Accounts {
		a := &c.Fetch.Accounts[i]
		if err := c.checkAccount(a); err != nil {
			return fmt.Errorf("[fetch.%s] %w", a.Name, err)
		}
	}
	return nil
}

func (c *Config) checkAccount(a *Account) error {
	switch {
	case a.Server == "":
		return errors.New("server is missing")
	case a.User == "":
		return errors.New("user is missing")
	case len(a.To) == 0:
		return errors.New(`to is missing: say where the mail goes, such as to = "maildir:/home/anna/Mail"`)
	}
	if err := a.Login.check(); err != nil {
		return err
	}
	for i, to := range a.To {
		_, known := c.TargetNamed(to)
		switch {
		case slices.Contains(a.To[:i], to):
			return fmt.Errorf("to names %q twice", to)
		case known:
		case !strings.Contains(to, ":"):
			return fmt.Errorf("to names %q, and there is no [target.%[1]s]", to)
		default:
			if _, err := c.Shorthand(to); err != nil {
				return fmt.Errorf("to = %q: %w", to, err)
			}
		}
	}
	return nil
}

// TOML gives the table of the account, with what differs from the defaults.
func (a *Account) TOML() string {
	c := Default()
	c.Fetch.Accounts = []Account{*a}
	var b strings.Builder
	for _, s := range sections {
		if s.name == "fetch" {
			c.printNamed(&b, s)
		}
	}
	return b.String()
}
