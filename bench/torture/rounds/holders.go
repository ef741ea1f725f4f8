package rounds

import "time"

// holder is a session that is logged in: from the reply that says so until its
// last command is about to be sent. Two of one maildrop at the same time must
// not be, unless one of them cannot know that its lease is over.
type holder struct {
	server  *server
	user    int
	stops   int64 // of its server, when it came
	outages int   // of the store, when it came
	met     bool  // another one came while it was there
}

// arriving makes a holder, before it logs in.
func (b *books) arriving(s *server, user int) *holder {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &holder{server: s, user: user, stops: s.stops.Load(), outages: b.count.Outages}
}

// steady tells whether nothing happened since h came that its lease may have
// ended by. The caller holds mu.
func (b *books) steady(h *holder) bool {
	return !h.server.killed.Load() && h.server.stops.Load() == h.stops && b.count.Outages == h.outages
}

// hold enters that h has logged in.
func (b *books) hold(h *holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for other := range b.held[h.user] {
		if b.steady(other) && b.steady(h) {
			other.met = true
		}
	}
	b.held[h.user][h] = true
}

// letGo enters that h is about to end.
func (b *books) letGo(h *holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held[h.user], h)
}

// wasAlone enters that h ended as it should. One that met another may have been
// cut by its server before, and not have heard of it yet: only a session that
// goes on is a second one.
func (b *books) wasAlone(h *holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.met {
		b.fault(&b.count.Double, "a session of %s was there when another one began", userName(h.user))
	}
}

// inUse enters that a maildrop is in use, and waits before the next try.
func (b *books) inUse() {
	b.mu.Lock()
	b.count.InUse++
	b.mu.Unlock()
	time.Sleep(b.nap)
}
