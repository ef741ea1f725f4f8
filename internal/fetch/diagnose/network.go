package diagnose

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/poplin-mail/poplin/pop3"
)

// maxAddresses is how many addresses of a name are tried.
const maxAddresses = 16

// resolve gives the addresses of the host.
func (x *explainer) resolve(ctx context.Context) []netip.Addr {
	if addr, err := netip.ParseAddr(strings.Trim(x.Host, "[]")); err == nil {
		x.ok(Name, addr.String()+" is an address; there is no name to look up", "")
		return []netip.Addr{addr}
	}
	shown := pop3.Sanitize(x.Host)
	switch {
	case x.Host == "":
		x.failed(Name, "the account names no server", "set server")
		return nil
	case strings.Contains(x.Host, "@"):
		x.failed(Name, shown+" is an address of a person, and not the name of a server", "set server to the provider's POP3 server; `poplin fetch setup` finds it")
		return nil
	case strings.ContainsAny(x.Host, "/: \t"):
		x.failed(Name, shown+" is not the name of a server", "set server to the name alone, or to name:port")
		return nil
	}
	ctx, cancel := x.within(ctx)
	defer cancel()
	var resolver interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	} = net.DefaultResolver
	if x.Resolver != nil {
		resolver = x.Resolver
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", x.Host)
	if err != nil || len(addrs) == 0 {
		text, advice := explainName(err)
		x.failed(Name, shown+": "+text, advice)
		return nil
	}
	addrs = addrs[:min(len(addrs), maxAddresses)]
	names := make([]string, len(addrs))
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
		names[i] = addrs[i].String()
	}
	x.ok(Name, shown+" has the "+plural(len(names), "address", "addresses")+" "+strings.Join(names, ", "), "")
	return addrs
}

// explainName says why a name has no address. Go's resolver does not tell a
// name that is not there from one without addresses.
func explainName(err error) (text, advice string) {
	var dns *net.DNSError
	errors.As(err, &dns)
	switch {
	case err == nil || dns != nil && dns.IsNotFound:
		return "there is no such name, or it has no address", "check how server is spelled"
	case isTimeout(err) || dns != nil && dns.IsTimeout:
		return "no name server answered in time", "check the network and the name servers in /etc/resolv.conf"
	case dns != nil && dns.IsTemporary:
		return "the name servers answered that they cannot tell (SERVFAIL)", "try again later; where it stays so, the domain's own name servers are down or its DNSSEC signatures are wrong"
	}
	return "the name cannot be looked up: " + pop3.Sanitize(err.Error()), "check the network and the name servers in /etc/resolv.conf"
}

// connect tries every address at once, so that one which is wrong shows, and
// goes on with the first that works.
func (x *explainer) connect(ctx context.Context, addrs []netip.Addr) bool {
	ctx, cancel := x.within(ctx)
	defer cancel()
	conns, errs := make([]net.Conn, len(addrs)), make([]error, len(addrs))
	var wait sync.WaitGroup
	for i, addr := range addrs {
		wait.Go(func() { conns[i], errs[i] = x.dial(ctx, net.JoinHostPort(addr.String(), strconv.Itoa(x.Port))) })
	}
	wait.Wait()
	for i, addr := range addrs {
		where := net.JoinHostPort(addr.String(), strconv.Itoa(x.Port))
		switch {
		case errs[i] != nil:
			text, advice := explainDial(errs[i], x.Port)
			x.failed(Connection, where+": "+text, advice)
		case x.conn == nil:
			x.conn, x.addr = conns[i], where
			x.ok(Connection, where+" takes connections", "")
		default:
			conns[i].Close()
			x.ok(Connection, where+" takes connections", "")
		}
	}
	return x.conn != nil
}

func (x *explainer) dial(ctx context.Context, addr string) (net.Conn, error) {
	if x.Dialer != nil {
		return x.Dialer.DialContext(ctx, "tcp", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// explainDial says why an address takes no connection.
func explainDial(err error, port int) (text, advice string) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection is refused: no program listens on port " + strconv.Itoa(port), usualPorts(port)
	case errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no way to it from here", "check the network; where this is an IPv6 address alone, the machine has no IPv6, and other addresses do"
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		return "this machine forbids the connection", "look for a firewall or a sandbox here that does"
	case isTimeout(err):
		return "no answer came in time", "a firewall on the way drops the packets, or the server is down; " + usualPorts(port)
	}
	return "no connection: " + pop3.Sanitize(err.Error()), "check the network"
}

func usualPorts(port int) string {
	switch port {
	case pop3.PortTLS:
		return `check server; the provider may have POP3 on port 110 with security = "stls" alone`
	case pop3.Port:
		return `check server; many providers have POP3 on port 995 with security = "tls" alone`
	}
	return fmt.Sprintf(`check server and its port; POP3 is on port 995 with security = "tls", or 110 with "stls", almost everywhere, and not on %d`, port)
}

// isTimeout reports whether time ran out, ours or the system's.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
