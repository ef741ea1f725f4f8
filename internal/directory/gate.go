package directory

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"

	"github.com/poplin-mail/poplin/pop3"
)

const (
	// hashMemory is what all checks of passwords together may take: a flood of
	// logins then waits in line instead of taking the machine's memory. A
	// single hash that asks for more runs alone.
	hashMemory = 512 << 20

	// maxWaiting is how many checks of one place wait at most.
	maxWaiting = 8
)

// errBusy is what the client gets whose place has too many checks waiting.
var errBusy = &pop3.Error{Code: pop3.SysTemp, Text: "Too many logins from your address at once, try again later"}

// gate bounds the checks that run at once, by their memory and by the number
// of processors. Where several places wait they take turns, so that a flood
// from one of them delays the others by a check or two.
type gate struct {
	mu    sync.Mutex
	free  int64
	total int64
	share int64 // the least that a check counts for
	turns []*line
	lines map[netip.Prefix]*line // those with somebody in them: as turns
}

// line is the checks of one place that wait, in their order.
type line struct {
	place   netip.Prefix
	waiters []*waiter
}

type waiter struct {
	need  int64
	ready chan struct{}
}

func newGate(memory int64) *gate {
	return &gate{free: memory, total: memory, share: memory / int64(runtime.GOMAXPROCS(0)),
		lines: make(map[netip.Prefix]*line)}
}

// placeOf gives what counts as one place: an IPv4 address, or an IPv6 /64,
// which is what one customer has at least.
func placeOf(remote net.Addr) netip.Prefix {
	addr := addrOf(remote)
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	place, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // all without an address are one
	}
	return place
}

// addrOf gives the address of the other end, the zero Addr where it has none.
func addrOf(remote net.Addr) netip.Addr {
	switch r := remote.(type) {
	case nil:
		return netip.Addr{}
	case *net.TCPAddr:
		return r.AddrPort().Addr().Unmap().WithZone("")
	default:
		ap, err := netip.ParseAddrPort(r.String())
		if err != nil {
			return netip.Addr{}
		}
		return ap.Addr().Unmap().WithZone("")
	}
}

// enter waits for a turn. The function that it returns gives the memory back.
func (g *gate) enter(ctx context.Context, place netip.Prefix, memory int64) (leave func(), err error) {
	need := min(max(memory, g.share), g.total)
	g.mu.Lock()
	if len(g.turns) == 0 && g.free >= need {
		g.free -= need
		g.mu.Unlock()
		return func() { g.give(need) }, nil
	}
	l := g.lines[place]
	if l == nil {
		l = &line{place: place}
		g.lines[place] = l
		g.turns = append(g.turns, l)
	}
	if len(l.waiters) >= maxWaiting {
		g.mu.Unlock()
		return nil, errBusy
	}
	w := &waiter{need: need, ready: make(chan struct{})}
	l.waiters = append(l.waiters, w)
	g.mu.Unlock()
	select {
	case <-w.ready:
		return func() { g.give(need) }, nil
	case <-ctx.Done():
		g.withdraw(l, w)
		return nil, ctx.Err()
	}
}

// give takes memory back and lets those in who fit now.
func (g *gate) give(memory int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += memory
	g.admit()
}

// admit lets the first of the place in whose turn it is, and gives the turn
// to the next place. Nobody overtakes one that waits for more memory.
func (g *gate) admit() {
	for len(g.turns) > 0 && g.turns[0].waiters[0].need <= g.free {
		l := g.turns[0]
		w := l.waiters[0]
		g.free -= w.need
		close(w.ready)
		l.waiters = l.waiters[1:]
		g.turns = g.turns[1:]
		if len(l.waiters) > 0 {
			g.turns = append(g.turns, l)
		} else {
			delete(g.lines, l.place)
		}
	}
}

// withdraw takes a waiter whose time is up out of the line. One that was let
// in at the same moment gives its memory back.
func (g *gate) withdraw(l *line, w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !remove(&l.waiters, w) {
		g.free += w.need
	} else if len(l.waiters) == 0 {
		remove(&g.turns, l)
		delete(g.lines, l.place)
	}
	g.admit()
}

// remove takes an item out of a list, and reports whether it was there.
func remove[T comparable](list *[]T, item T) bool {
	for i, other := range *list {
		if other == item {
			*list = append((*list)[:i], (*list)[i+1:]...)
			return true
		}
	}
	return false
}
