// Package guard defends passwords against guessing. A Guard is what
// pop3server asks before it checks credentials.
//
// Each guess counts as wrong before it is checked, against the remote address
// and against the user, and is taken back when it was right: guesses that are
// made at the same time are slowed down as if they came one after another.
// Counts halve in time. Nobody is locked out: there are delays only, and a
// user who has logged in from a network before is not slowed there by what
// others guess.
package guard

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3server"
)

// Options configures a Guard.
type Options struct {
	// KnownNetworks are never slowed down.
	KnownNetworks []netip.Prefix

	// PerUser bounds the logins of one user that are under way at the same
	// time, from networks where that user has not logged in before. Zero: 20.
	PerUser int

	// State is a file that remembers from which networks users have logged
	// in. It holds no names and no addresses, but their hashes under a key of
	// its own. Empty: they are forgotten at the end of the program.
	State string

	// Logger gets what goes wrong with State. Nil: nothing is logged.
	Logger *slog.Logger
}

// How much is too much.
const (
	freeHost  = 5                // wrong guesses of an address before it is slowed down
	freeKnown = 10               // the same, for a user who is known there
	freeUser  = 20               // wrong guesses at a user, from anywhere, before strangers are slowed down
	maxDelay  = 15 * time.Second // of one guess
	halfLife  = 10 * time.Minute // of a count
	perHost   = 8                // guesses of an address that wait at the same time
	tableSize = 100_000          // entries of each table, some 100 octets each
)

// A Guard slows down guesses: it implements pop3server.Guard. Make it with
// New, and end it with Close.
type Guard struct {
	opts Options

	mu     sync.Mutex
	hosts  table[netip.Prefix]
	users  table[digest]
	known  *pairs
	counts Stats

	stop chan struct{}
	done sync.WaitGroup
}

// Stats are what a Guard has done, for metrics.
type Stats struct {
	Delayed uint64 // guesses that had to wait
	Refused uint64 // guesses that were not let wait
	Hosts   int    // entries of the tables
	Users   int
	Known   int
}

var errBusy = &pop3.Error{Code: pop3.SysTemp, Text: "Too many logins under way, try again later"}

// New makes a Guard. A State that cannot be read is logged and begun anew.
func New(opts Options) *Guard {
	if opts.PerUser <= 0 {
		opts.PerUser = 20
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Guard{opts: opts, hosts: table[netip.Prefix]{}, users: table[digest]{}, stop: make(chan struct{})}
	g.known = openPairs(opts.State, opts.Logger)
	return g
}

// Start writes State now and then, until Close.
func (g *Guard) Start() {
	if g.opts.State != "" {
		g.done.Go(g.saveNowAndThen)
	}
}

// Close writes State. Attempts may still be made, and are forgotten.
func (g *Guard) Close() error {
	g.mu.Lock()
	select {
	case <-g.stop:
		g.mu.Unlock()
		return nil
	default:
	}
	close(g.stop)
	g.mu.Unlock()
	g.done.Wait()
	return g.save()
}

// Stats gives what the Guard has done until now.
func (g *Guard) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.counts
	s.Hosts, s.Users, s.Known = len(g.hosts), len(g.users), len(g.known.last)
	return s
}

// guess is an attempt that is under way.
type guess struct {
	g      *Guard
	host   *entry // nil where the address says nothing
	user   *entry
	pair   digest
	isPair bool // this user has logged in from here before
}

// Attempt implements pop3server.Guard.
func (g *Guard) Attempt(ctx context.Context, login pop3server.Login) (done func(error), err error) {
	bucket, counted := g.bucket(login.Remote)
	if !counted {
		return func(error) {}, nil
	}
	x, delay, err := g.begin(login.Username, bucket)
	if err != nil {
		return nil, err
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			x.end(ctx.Err())
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
	return x.end, nil
}

// bucket gives what an address is counted under: an IPv4 address, an IPv6
// /64. It is false for addresses that are not counted.
func (g *Guard) bucket(addr net.Addr) (netip.Prefix, bool) {
	var ip netip.Addr
	if tcp, ok := addr.(*net.TCPAddr); ok {
		ip = tcp.AddrPort().Addr()
	} else if addr != nil {
		if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
			ip = ap.Addr()
		}
	}
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() {
		return netip.Prefix{}, false
	}
	for _, known := range g.opts.KnownNetworks {
		if known.Contains(ip) {
			return netip.Prefix{}, false
		}
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	bucket, _ := ip.Prefix(bits)
	return bucket, true
}

// begin counts a guess as wrong, and says how long it has to wait.
func (g *Guard) begin(username string, bucket netip.Prefix) (*guess, time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	x := &guess{g: g, pair: g.known.digest(username, bucket.String())}
	x.isPair = g.known.has(x.pair, now)
	x.host = g.hosts.get(bucket, now)
	x.user = g.users.get(g.known.digest(username, ""), now)
	if x.host.waiting >= perHost || !x.isPair && x.user.waiting >= g.opts.PerUser {
		x.host.count++ // who does not wait for the answers guesses on
		g.counts.Refused++
		return nil, 0, errBusy
	}
	free := freeHost
	if x.isPair {
		free = freeKnown
	}
	delay := delayFor(x.host.count, free)
	if !x.isPair {
		delay = max(delay, delayFor(x.user.count, freeUser))
		x.user.waiting++
	}
	x.host.waiting++
	x.host.count++
	x.user.count++
	if delay > 0 {
		g.counts.Delayed++
	}
	return x, delay, nil
}

// delayFor doubles with each guess after the free ones.
func delayFor(count float64, free int) time.Duration {
	over := int(count) - free
	switch {
	case over < 0:
		return 0
	case over >= 5:
		return maxDelay
	}
	return min(time.Second/2<<over, maxDelay)
}

// end takes the guess back where it was not wrong.
func (x *guess) end(err error) {
	x.g.mu.Lock()
	defer x.g.mu.Unlock()
	x.host.waiting--
	if !x.isPair {
		x.user.waiting--
	}
	if errors.Is(err, pop3server.ErrBadCredentials) {
		return
	}
	x.host.count = max(0, x.host.count-1)
	x.user.count = max(0, x.user.count-1)
	if err == nil {
		x.g.known.add(x.pair, time.Now())
	}
}
