package provider

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
)

// lookup asks the DNS which servers the domain names.
func (f *finder) lookup(ctx context.Context) ([]Candidate, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var overTLS, withSTLS srvAnswer
	var exchangers []string
	var mxErr error
	var wg sync.WaitGroup
	wg.Go(func() { overTLS = f.srv(ctx, "pop3s") })
	wg.Go(func() { withSTLS = f.srv(ctx, "pop3") })
	wg.Go(func() { exchangers, mxErr = f.mx(ctx) })
	wg.Wait()

	f.dns = errors.Join(overTLS.err, withSTLS.err, mxErr)
	f.noTLS, f.noSTLS = overTLS.none, withSTLS.none
	// RFC 8314 section 5.1: TLS from the first octet is to be preferred.
	named := append(f.ofSRV(overTLS.records, TLS), f.ofSRV(withSTLS.records, STLS)...)
	if len(named) > 0 {
		return named, nil
	}
	if f.noTLS && f.noSTLS {
		return nil, &NoPOP3Error{f.domain, "Its entries in the DNS say so (RFC 6186)"}
	}
	p := ByMX(exchangers)
	switch {
	case p == nil:
		return nil, nil
	case p.NoPOP3 != "":
		return nil, &NoPOP3Error{p.Title + ", which takes the mail of " + f.domain + ",", p.NoPOP3}
	}
	return []Candidate{f.ofProfile(p, FromMX, true)}, nil
}

// srvAnswer is what the DNS says about a service.
type srvAnswer struct {
	records []*net.SRV
	none    bool // the domain says that it does not offer the service (RFC 6186 section 3.4)
	err     error
}

// srv asks for the records of a service (RFC 6186 section 3.3), those with the
// least priority first. Among equals the resolver's order stays: that of the
// standard library is a draw by weight, as RFC 2782 has it.
func (f *finder) srv(ctx context.Context, service string) (a srvAnswer) {
	_, records, err := f.resolver.LookupSRV(ctx, service, "tcp", f.domain+".")
	if len(records) == 0 { // records come with an error where others were malformed
		a.err = notMissing(err)
		return a
	}
	for _, r := range records {
		switch host := plain(r.Target); {
		case host == "":
			a.none = true
		case hostname(host) && r.Port != 0:
			a.records = append(a.records, &net.SRV{Target: host, Port: r.Port, Priority: r.Priority, Weight: r.Weight})
		}
	}
	a.none = a.none && len(a.records) == 0
	slices.SortStableFunc(a.records, func(x, y *net.SRV) int { return cmp.Compare(x.Priority, y.Priority) })
	a.records = a.records[:min(len(a.records), maxSRV)]
	return a
}

// mx asks for the mail exchangers, the preferred ones first.
func (f *finder) mx(ctx context.Context) (hosts []string, err error) {
	records, err := f.resolver.LookupMX(ctx, f.domain+".")
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(x, y *net.MX) int { return cmp.Compare(x.Pref, y.Pref) })
	for _, r := range records {
		hosts = append(hosts, r.Host)
	}
	if len(hosts) > 0 {
		return hosts, nil
	}
	return nil, notMissing(err)
}

// notMissing drops the error that says that there is no such record.
func notMissing(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return nil
	}
	return err
}

func (f *finder) ofSRV(records []*net.SRV, security Security) (named []Candidate) {
	for _, r := range records {
		c := Candidate{
			Source: FromSRV, Server: r.Target, Port: int(r.Port), Security: security, User: f.address,
			Profile: ByServer(r.Target), Confirm: !within(r.Target, f.domain),
		}
		if c.Profile != nil {
			c.User = c.Profile.User(f.address)
		}
		named = append(named, c)
	}
	return named
}

// commonNames gives the names that are worth a try, but for those tried.
func (f *finder) commonNames(tried []Candidate) (names []Candidate) {
	for _, way := range []struct {
		security Security
		port     int
		none     bool
	}{{TLS, 995, f.noTLS}, {STLS, 110, f.noSTLS}} {
		for _, host := range []string{"pop." + f.domain, "pop3." + f.domain, "mail." + f.domain, f.domain} {
			c := Candidate{Source: FromName, Server: host, Port: way.port, Security: way.security, User: f.address}
			if !way.none && hostname(host) && !slices.ContainsFunc(tried, func(t Candidate) bool { return t.Addr() == c.Addr() && t.Security == c.Security }) {
				names = append(names, c)
			}
		}
	}
	return names
}
