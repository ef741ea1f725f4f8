package rounds

import (
	"fmt"
	"sync"
	"time"
)

// books say what became of every copy. They are used by many goroutines at
// once.
type books struct {
	// late is for stores that may carry out later what a server asked for that
	// is gone, or that did not hear of it: mail that was refused may be there,
	// and nothing is promised of mail that was not acknowledged. Where a QUIT
	// was not answered, what it asked for may be done at any time.
	late bool

	// nap is how long a session waits for a maildrop that is in use.
	nap time.Duration

	// idle is how long some sessions wait at most before they mark messages.
	idle time.Duration

	mu       sync.Mutex
	lastID   uint64
	removals uint64 // QUITs that removed something
	users    [maildrops]userBooks
	held     [maildrops]map[*holder]bool // see holders.go
	count    Counts
	faults   []string
}

type userBooks struct {
	open    map[uint64]*copyOf  // by the id of the message: since the last audit
	settled map[uint64]struct{} // before: must not be seen any more
	told    map[string]bool     // unique-ids of what is torn or astray, and was told
}

// copyOf is a message for one of its recipients. No id is sent twice.
type copyOf struct {
	acknowledged bool
	refused      bool
	brokenOff    bool   // by the sender: must not be there
	seen         bool   // retrieved
	torn         bool   // found torn: it is removed, and not lost too
	removed      uint64 // by a QUIT that was answered, which is that one of removals; 0: it was not
	asked        int    // QUITs that ask for its removal, and were not answered
	twice        bool   // counted as a duplicate
	unpromised   bool   // counted as there, though it was refused
	uid          string // once it was seen
}

func newBooks() *books {
	b := &books{}
	for i := range b.users {
		b.held[i] = make(map[*holder]bool)
		b.users[i] = userBooks{make(map[uint64]*copyOf), make(map[uint64]struct{}), make(map[string]bool)}
	}
	return b
}

// maxFaults bounds the faults that are told in words.
const maxFaults = 20

// fault counts what must not be. The caller holds mu.
func (b *books) fault(counter *int, format string, args ...any) {
	*counter++
	if len(b.faults) < maxFaults {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// counted gives the counts until now.
func (b *books) counted() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// sure tells whether the copy must be in the maildrop. The caller holds mu.
func (b *books) sure(c *copyOf) bool {
	return (c.acknowledged || c.seen && !b.late) && c.removed == 0 && c.asked == 0 && !c.torn
}

// backlog gives how many copies are in the maildrops.
func (b *books) backlog() (n int) {
	for user := range b.users {
		n += len(b.expected(user).sure)
	}
	return n
}

// expectation is what a session that logs in from now on must list.
type expectation struct {
	sure     []*copyOf
	removals uint64 // those before: what they removed must not be listed
}

func (b *books) expected(user int) expectation {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := expectation{removals: b.removals}
	for _, c := range b.users[user].open {
		if b.sure(c) {
			e.sure = append(e.sure, c)
		}
	}
	return e
}

// goneFor tells whether the copy was removed before a session began of which
// that was expected. The caller holds mu of the books.
func (c *copyOf) goneFor(e expectation) bool { return c.removed > 0 && c.removed <= e.removals }

// listed enters what a session lists, where that was expected when it began,
// and nobody asked for its removal meanwhile. What a listing leaves out, if
// only once, a client takes for deleted; what it brings back, for new.
func (b *books) listed(user int, e expectation, uids map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	missing, atLeast := 0, 0
	for _, c := range e.sure {
		if !b.sure(c) {
			continue
		}
		atLeast++
		if c.seen && !uids[c.uid] {
			missing++
			b.fault(&b.count.Missing, "unique-id %s of %s is not listed, and was not removed", c.uid, userName(user))
		}
	}
	if short := atLeast - len(uids); short > missing {
		b.fault(&b.count.Missing, "%d messages of %s are listed, and %d were not removed", len(uids), userName(user), atLeast)
	}
	u := &b.users[user]
	for id, c := range u.open {
		if c.goneFor(e) && uids[c.uid] {
			u.tell(b, &b.count.Returned, c.uid, "%s, unique-id %s, is listed after QUIT", letterName(user, id), c.uid)
		}
	}
}

// sending enters a new message, before it is sent.
func (b *books) sending(to []int) (id uint64, copies []*copyOf) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastID++
	for _, user := range to {
		c := &copyOf{}
		b.users[user].open[b.lastID] = c
		copies = append(copies, c)
	}
	return b.lastID, copies
}

// answered enters the reply to a delivery.
func (b *books) answered(c *copyOf, acknowledged bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if acknowledged {
		c.acknowledged = true
		b.count.Acknowledged++
		return
	}
	b.count.Refused++
	c.refused = true
	if c.seen {
		b.unpromised(c)
	}
}

// unpromised enters that a copy is there, though it was refused. The caller
// holds mu.
func (b *books) unpromised(c *copyOf) {
	switch {
	case !b.late:
		b.twice(c, "the message with unique-id %s is there though it was refused", c.uid)
	case !c.unpromised:
		c.unpromised = true
		b.count.RefusedPresent++
	}
}

// brokenOff enters that the sender breaks off within a message.
func (b *books) brokenOff(copies []*copyOf) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range copies {
		b.count.BrokenOff++
		c.brokenOff = true
	}
}

// retrieved enters a message that came to its end, in a session of which that
// was expected. It gives nil for one that is not as it should be.
func (b *books) retrieved(user int, e expectation, uid string, message []byte) *copyOf {
	id, whole, ok := readLetter(message)
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &b.users[user]
	if !whole {
		u.tell(b, &b.count.Torn, uid, "%s (0: the id is not there), unique-id %s, is torn: %d octets came", letterName(user, id), uid, len(message))
		if c := u.open[id]; ok && c != nil {
			c.torn = true
		}
		return nil
	}
	c := u.open[id]
	_, settled := u.settled[id]
	switch {
	case settled:
		u.tell(b, &b.count.Returned, uid, "%s, unique-id %s, came back after the audit that removed it", letterName(user, id), uid)
		return nil
	case c == nil:
		u.tell(b, &b.count.Stray, uid, "%s, unique-id %s, was not sent there", letterName(user, id), uid)
		return nil
	case c.goneFor(e):
		u.tell(b, &b.count.Returned, uid, "%s, unique-id %s, came back after QUIT", letterName(user, id), uid)
	case c.brokenOff:
		b.twice(c, "%s, unique-id %s, is there though it was broken off", letterName(user, id), uid)
	case c.seen && c.uid != uid:
		b.twice(c, "%s has the unique-ids %s and %s", letterName(user, id), c.uid, uid)
	}
	if !c.seen {
		c.seen, c.uid = true, uid
		b.count.Retrieved++
	}
	if c.refused {
		b.unpromised(c)
	}
	if !b.late {
		c.asked = 0 // it is here: the QUIT that was not answered left it
	}
	return c
}

// tell is fault for what is wrong under a unique-id, which counts once. The
// caller holds mu.
func (u *userBooks) tell(b *books, counter *int, uid, format string, args ...any) {
	if !u.told[uid] {
		u.told[uid] = true
		b.fault(counter, format, args...)
	}
}

// twice is fault for a duplicate, which counts once. The caller holds mu.
func (b *books) twice(c *copyOf, format string, args ...any) {
	if !c.twice {
		c.twice = true
		b.fault(&b.count.Duplicate, format, args...)
	}
}

// besides enters that one session has a copy under two numbers.
func (b *books) besides(user int, c *copyOf, uid, other string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.twice(c, "a message of %s is there as %s and as %s", userName(user), uid, other)
}

// quitting enters that QUIT is about to be sent: from now on the copies may be
// gone.
func (b *books) quitting(copies []*copyOf) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range copies {
		c.asked++
	}
	b.count.Unconfirmed += len(copies)
}

// quit enters the answer to QUIT: the copies are removed for good, or none is.
func (b *books) quit(copies []*copyOf, removed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count.Unconfirmed -= len(copies)
	if removed {
		b.count.Sessions++
		b.removals++
	}
	for _, c := range copies {
		if removed && c.removed == 0 {
			b.count.Removed++
			c.removed = b.removals
		}
		c.asked--
	}
}

// settle closes the books on a maildrop that was emptied: nobody delivers to
// it, and found is what was there.
func (b *books) settle(user int, found map[*copyOf]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &b.users[user]
	for id, c := range u.open {
		switch {
		case found[c] || !b.sure(c):
		case c.acknowledged:
			b.fault(&b.count.Lost, "%s was acknowledged and is gone (retrieved before: %t)", letterName(user, id), c.seen)
		default:
			b.fault(&b.count.Lost, "%s was there and is gone without QUIT", letterName(user, id))
		}
		if !c.acknowledged && !c.refused && !c.brokenOff {
			b.count.Unanswered++
			if c.seen {
				b.count.Unacknowledged++
			}
		}
		u.settled[id] = struct{}{}
	}
	clear(u.open)
	clear(u.told)
}

// leftBehind enters files or objects that are there though their maildrop is
// empty.
func (b *books) leftBehind(names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		b.fault(&b.count.Stray, "%s is there, and its maildrop is empty for POP3", name)
	}
}
