package pop3server

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// place is what the limits count a connection under. The zero place counts
// nowhere.
type place struct {
	address netip.Prefix // an IPv4 address, an IPv6 /64
	network netip.Prefix // an IPv4 /24, an IPv6 /48
}

// locate gives an address for logs, without its port, and its place: one user
// of IPv6 has at least a /64, one customer of a provider a /48.
func (s *Server) locate(addr net.Addr) (text string, where place) {
	if addr == nil {
		return "unknown", place{}
	}
	var ip netip.Addr
	if tcp, ok := addr.(*net.TCPAddr); ok {
		ip = tcp.AddrPort().Addr()
	} else if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
		ip = ap.Addr()
	}
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() {
		return addr.Network(), place{}
	}
	for _, known := range s.opts.KnownNetworks {
		if known.Contains(ip) {
			return ip.String(), place{}
		}
	}
	address, network := 32, 24
	if ip.Is6() {
		address, network = 64, 48
	}
	where.address, _ = ip.Prefix(address)
	where.network, _ = ip.Prefix(network)
	return ip.String(), where
}

// admission is what the limits on connections know, under Server.mu. The two
// lists hold sessions in the order in which they came: of those, the oldest
// gives way when there are too many, since a client that means to log in is
// soon done, and one that means to fill the server is not.
type admission struct {
	counts  map[netip.Prefix]int // of addresses and networks: their lengths differ
	waiting *list.List           // before login
	shaking *list.List           // in a TLS handshake
	at      map[*session]*spots
}

// spots are where a session stands in the lists; nil where it does not.
type spots struct{ waiting, shaking *list.Element }

func newAdmission() admission {
	return admission{counts: map[netip.Prefix]int{}, waiting: list.New(), shaking: list.New(), at: map[*session]*spots{}}
}

// Reasons for the log and the Observer.
const (
	reasonClosing    = "server is shutting down"
	reasonSessions   = "too many sessions"
	reasonAddress    = "too many sessions from this address"
	reasonNetwork    = "too many sessions from this network"
	reasonGaveWay    = "gave way to a newer connection"
	reasonHandshakes = "too many TLS handshakes"
	reasonFiles      = "too many open files"
)

// Reasons gives all reasons that Observer.Refused is called with.
func Reasons() []string {
	return []string{reasonClosing, reasonSessions, reasonAddress, reasonNetwork, reasonGaveWay, reasonHandshakes, reasonFiles}
}

// admit counts the session in, or says why not. When the server is full, the
// oldest session that has not logged in is cut instead.
func (s *Server) admit(ss *session) (refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, o, where := &s.table, &s.opts, ss.place
	switch {
	case s.closing:
		return reasonClosing
	case where.address.IsValid() && o.MaxSessionsPerAddr > 0 && t.counts[where.address] >= o.MaxSessionsPerAddr:
		return reasonAddress
	case where.network.IsValid() && o.MaxSessionsPerNetwork > 0 && t.counts[where.network] >= o.MaxSessionsPerNetwork:
		return reasonNetwork
	case o.MaxSessions > 0 && len(s.sessions) >= o.MaxSessions:
		oldest := t.waiting.Front()
		if oldest == nil {
			return reasonSessions
		}
		s.evict(oldest.Value.(*session), reasonGaveWay)
	}
	s.sessions[ss] = struct{}{}
	t.at[ss] = &spots{waiting: t.waiting.PushBack(ss)}
	if where.address.IsValid() {
		t.counts[where.address]++
		t.counts[where.network]++
	}
	s.done.Add(1)
	return ""
}

// makeRoom cuts the oldest sessions that have not logged in, but for one,
// where descriptors ran out: those who come are not kept out until the time
// for logging in is over. It is a tenth of them, since a login needs a few
// descriptors besides that of its connection. It reports false where there is
// none to cut.
func (s *Server) makeRoom(but *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	cut := 0
	most := 1 + s.table.waiting.Len()/10
	for e := s.table.waiting.Front(); e != nil && cut < most; {
		ss := e.Value.(*session)
		e = e.Next()
		if ss != but {
			s.evict(ss, reasonFiles)
			cut++
		}
	}
	return cut > 0
}

// scarce reports whether err says that the process, or the machine, has no
// descriptor left.
func scarce(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// madeRoom reports whether what failed with err may be tried again: for want of
// descriptors sessions have given way that had not logged in.
func (s *session) madeRoom(err error, tries int) bool {
	if tries >= maxRoomMade || !scarce(err) || !s.srv.makeRoom(s) {
		return false
	}
	time.Sleep(probePause) // for them to go
	return true
}

// evict cuts a session and forgets it at once. It is called with mu held.
func (s *Server) evict(ss *session, reason string) {
	ss.giveWay(reason)
	s.forget(ss)
	s.watch.Refused(reason)
}

func (s *Server) leave(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(ss)
}

// forget takes a session out of all tables, if it is still there. It is
// called with mu held.
func (s *Server) forget(ss *session) {
	if _, there := s.sessions[ss]; !there {
		return
	}
	delete(s.sessions, ss)
	t := &s.table
	at := t.at[ss]
	delete(t.at, ss)
	remove(t.waiting, &at.waiting)
	remove(t.shaking, &at.shaking)
	if !ss.place.address.IsValid() {
		return
	}
	for _, p := range []netip.Prefix{ss.place.address, ss.place.network} {
		if t.counts[p]--; t.counts[p] == 0 {
			delete(t.counts, p)
		}
	}
}

func remove(l *list.List, e **list.Element) {
	if *e != nil {
		l.Remove(*e)
		*e = nil
	}
}

// settled notes that the session logged in: it gives way to no other.
func (s *Server) settled(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.table.at[ss]; at != nil {
		remove(s.table.waiting, &at.waiting)
	}
}

// shaking notes that a TLS handshake begins, and cuts the oldest one where
// there are too many.
func (s *Server) shaking(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.table.at[ss]
	if at == nil {
		return // it was cut meanwhile
	}
	if limit := s.opts.MaxHandshakes; limit > 0 && s.table.shaking.Len() >= limit {
		s.evict(s.table.shaking.Front().Value.(*session), reasonHandshakes)
	}
	at.shaking = s.table.shaking.PushBack(ss)
}

// shaken notes that the handshake is over.
func (s *Server) shaken(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.table.at[ss]; at != nil {
		remove(s.table.shaking, &at.shaking)
	}
}
