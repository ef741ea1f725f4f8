// Package provider knows the POP3 servers of mail providers and their habits,
// as data, and finds the server of an address that no profile covers: by SRV
// records (RFC 6186), by MX records that name a known provider, and by names
// that are in common use.
//
// Begin with Discover for an address, or with ByName for a profile that the
// configuration names.
package provider

import (
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/oauth"
)

// Security is how a connection is protected. There is no other way.
type Security string

const (
	TLS  Security = "tls"  // from the first octet (RFC 8314 section 3.2)
	STLS Security = "stls" // by STLS before anything else (RFC 2595 section 4)
)

// UserForm is what a server wants for a user name.
type UserForm string

const (
	WholeAddress UserForm = "address"
	LocalPart    UserForm = "local" // what stands before the @
)

// Profile is what is known about a provider. What is empty is not known, or
// is as it is everywhere. Texts are whole phrases for a person.
type Profile struct {
	Name    string // for the configuration: provider = "gmail"
	Title   string // for people
	Checked string // when this was last looked into, "2026-11"

	Domains  []string // mail domains that are the provider's own
	MX       []string // names of mail exchangers, or what they end in
	Server   string
	Aliases  []string // other names of the same server
	Port     int
	Security Security
	UserForm UserForm
	NoPOP3   string // why there is no server

	OAuth       *OAuth // nil where it cannot be had
	OAuthOnly   bool   // passwords are refused, whatever they are
	AppPassword string // where to make one, where the account's own password is refused
	NeedsSwitch string // what to switch on first

	// PoppedAtQuit: a message that RETR has sent counts as fetched once QUIT
	// was answered, without any DELE, and is listed no more. A session with a
	// RETR whose message was not delivered must end without QUIT.
	PoppedAtQuit bool

	SessionMessages int           // a session lists about as many and no more; another one lists the next
	MinInterval     time.Duration // between two logins
	IdleCut         time.Duration // a session that is silent for so long is cut
	Note            string        // what else one should know
}

// OAuth is how to get a token that the provider's mail servers take. It needs
// a client id, which whoever uses it registers: see docs/howto/oauth.md.
type OAuth struct {
	Name      string               // for the configuration: oauth = "google"
	ClientID  string               // always empty: an id that others have registered is theirs
	Endpoints oauth.Endpoints      // for POP3
	Scopes    map[Service][]string // where they differ for others
	Note      string
}

// Service is what a token is for.
type Service string

const (
	POP3 Service = "pop3"
	IMAP Service = "imap"
	SMTP Service = "smtp"
)

// For gives the endpoints for a service.
func (o *OAuth) For(s Service) oauth.Endpoints {
	e := o.Endpoints
	if scopes, ok := o.Scopes[s]; ok {
		e.Scopes = scopes
	}
	return e
}

// User gives the user name for an address.
func (p *Profile) User(address string) string {
	if p.UserForm == LocalPart {
		if at := strings.LastIndexByte(address, '@'); at >= 0 {
			return address[:at]
		}
	}
	return address
}

// Profiles gives all profiles. They must not be changed.
func Profiles() []*Profile { return slices.Clone(profiles) }

// ByName gives the profile of that name, nil if there is none.
func ByName(name string) *Profile {
	return find(func(p *Profile) bool { return strings.EqualFold(p.Name, name) })
}

// ByDomain gives the profile of a provider's own mail domain, nil if it is
// none.
func ByDomain(domain string) *Profile {
	domain = plain(domain)
	return find(func(p *Profile) bool { return slices.Contains(p.Domains, domain) })
}

// ByServer gives the profile whose server has that name, nil if there is none.
func ByServer(host string) *Profile {
	host = plain(host)
	return find(func(p *Profile) bool { return host != "" && (p.Server == host || slices.Contains(p.Aliases, host)) })
}

// ByMX gives the profile of the provider that takes the mail of a domain with
// these mail exchangers, nil if it is unknown. The first that is known counts.
func ByMX(hosts []string) *Profile {
	for _, host := range hosts {
		host = plain(host)
		p := find(func(p *Profile) bool {
			return slices.ContainsFunc(p.MX, func(end string) bool { return within(host, end) })
		})
		if p != nil {
			return p
		}
	}
	return nil
}

// ByOAuth gives the endpoints of that name, nil if there are none.
func ByOAuth(name string) *OAuth {
	for _, o := range []*OAuth{google, microsoft} {
		if strings.EqualFold(o.Name, name) {
			return o
		}
	}
	return nil
}

func find(is func(*Profile) bool) *Profile {
	if i := slices.IndexFunc(profiles, is); i >= 0 {
		return profiles[i]
	}
	return nil
}

// plain gives a name of the DNS the form that it has in the table.
func plain(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// within tells whether a name is the domain or below it.
func within(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}
