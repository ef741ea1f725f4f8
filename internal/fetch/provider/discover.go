package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	// DefaultTimeout is for all of Discover.
	DefaultTimeout = 40 * time.Second

	lookupTime = 10 * time.Second // for the DNS
	probeTime  = 12 * time.Second // for one server: its connection, its greeting and its capabilities
	atOnce     = 4                // servers that are tried at the same time
	maxSRV     = 8                // records of a service that are tried
)

// Source is how a candidate was found.
type Source string

const (
	FromProfile Source = "profile" // the address's domain is a known provider's own
	FromSRV     Source = "srv"     // the domain's SRV records name it
	FromMX      Source = "mx"      // the domain's MX records name a known provider
	FromName    Source = "name"    // it has a common name below the domain
)

// Candidate is a server that may hold the mail of an address, with what came
// of trying it: it was connected to, TLS verified its name, and it was asked
// for its capabilities. No user name and no password was sent.
type Candidate struct {
	Source   Source
	Server   string
	Port     int
	Security Security
	User     string   // what to try first as the user name
	Profile  *Profile // of the provider; nil where it is unknown

	// Confirm: nothing but the DNS, which anybody on the way can forge, says
	// that this server belongs to the address. A person must confirm its name
	// before a password is sent there (RFC 6186 section 6).
	Confirm bool

	Err            error         // why it cannot be used; nil where it can
	Mechanisms     []string      // to log in by; with "USER" and "APOP" where they work
	Implementation string        // the server's own word for what it is; may be empty
	LoginDelay     time.Duration // that the server asks for; zero where it asks for none
}

// Addr gives host and port.
func (c *Candidate) Addr() string { return net.JoinHostPort(c.Server, fmt.Sprint(c.Port)) }

// Resolver is what Discover asks of the DNS. *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

// Dialer makes connections. *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Options change how Discover works. The zero value, and nil, will do.
type Options struct {
	Resolver  Resolver      // nil: net.DefaultResolver
	Dialer    Dialer        // nil: a net.Dialer
	TLSConfig *tls.Config   // nil: the system's roots; the name is verified in any case
	Timeout   time.Duration // zero: DefaultTimeout
}

// NoPOP3Error says that a provider offers no POP3 at all.
type NoPOP3Error struct {
	Provider string
	Reason   string
}

func (e *NoPOP3Error) Error() string { return e.Provider + " has no POP3. " + e.Reason }

// Discover finds the servers for an address: by the profile of its domain; or
// by the SRV records of the domain, or the profile that its MX records lead
// to; or, where these lead nowhere, by common names. It tries each. The
// candidates that work come first, in order of preference, then those that do
// not, whose Err says why.
//
// The error is for the case that none works. A *NoPOP3Error says that there is
// nothing to be found.
func Discover(ctx context.Context, address string, opts *Options) ([]Candidate, error) {
	local, domain, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	f := newFinder(local+"@"+domain, domain, opts)
	within, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if p := ByDomain(domain); p != nil {
		if p.NoPOP3 != "" {
			return nil, &NoPOP3Error{p.Title, p.NoPOP3}
		}
		return f.outcome(ctx, f.try(within, []Candidate{f.ofProfile(p, FromProfile, false)}))
	}
	named, err := f.lookup(within)
	if err != nil {
		return nil, err
	}
	found := f.try(within, named)
	if !slices.ContainsFunc(found, works) {
		found = append(found, f.try(within, f.commonNames(named))...)
	}
	return f.outcome(ctx, found)
}

// finder is one search.
type finder struct {
	address, domain string
	resolver        Resolver
	dialer          Dialer
	tls             *tls.Config
	timeout         time.Duration

	dns    error // why the DNS did not answer
	noTLS  bool  // the domain says that it offers no POP3 over TLS from the first octet
	noSTLS bool  // the domain says that it offers no POP3 with STLS
}

func newFinder(address, domain string, opts *Options) *finder {
	if opts == nil {
		opts = &Options{}
	}
	f := &finder{address: address, domain: domain, resolver: opts.Resolver, dialer: opts.Dialer, tls: opts.TLSConfig, timeout: opts.Timeout}
	if f.resolver == nil {
		f.resolver = net.DefaultResolver
	}
	if f.tls != nil {
		f.tls = f.tls.Clone()
		f.tls.ServerName = "" // each server must prove its own name
	}
	if f.timeout <= 0 {
		f.timeout = DefaultTimeout
	}
	return f
}

func works(c Candidate) bool { return c.Err == nil }

func (f *finder) ofProfile(p *Profile, source Source, confirm bool) Candidate {
	return Candidate{Source: source, Server: p.Server, Port: p.Port, Security: p.Security, User: p.User(f.address), Profile: p, Confirm: confirm}
}

// outcome sorts what was tried, and makes the error where nothing works.
func (f *finder) outcome(ctx context.Context, tried []Candidate) ([]Candidate, error) {
	slices.SortStableFunc(tried, func(a, b Candidate) int {
		switch {
		case works(a) == works(b):
			return 0
		case works(a):
			return -1
		}
		return 1
	})
	switch {
	case len(tried) > 0 && works(tried[0]):
		return tried, nil
	case ctx.Err() != nil:
		return tried, ctx.Err()
	case len(tried) == 1:
		return tried, fmt.Errorf("%s does not answer as it should: %w", tried[0].Addr(), tried[0].Err)
	}
	var names []string
	for _, c := range tried {
		if !slices.Contains(names, c.Server) {
			names = append(names, c.Server)
		}
	}
	text := "no POP3 server was found for " + f.domain + ", whose provider says which it is. Tried: " + strings.Join(names, ", ")
	if f.dns != nil {
		return tried, fmt.Errorf("%s. The DNS did not answer, so it may be worth to try again: %w", text, f.dns)
	}
	return tried, errors.New(text)
}
