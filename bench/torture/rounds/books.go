package rounds

import (
	"fmt"
	"sync"
)

// books say what became of every copy. They are used by many goroutines at
// once.
type books struct {
	mu     sync.Mutex
	lastID uint64
	users  [maildrops]userBooks
	count  Counts
	faults []string
}

type userBooks struct {
	open    map[uint64]*copyOf  // by the id of the message: since the last audit
	settled map[uint64]struct{} // before: must not be seen any more
	told    map[string]bool     // unique-ids of what is torn or astray, and was told
}

// copyOf is a message for one of its recipients. No id is sent twice.
type copyOf struct {
	acknowledged bool
	refused      bool   // or broken off by the sender: must not be there
	seen         bool   // retrieved
	torn         bool   // found torn: it is removed, and not lost too
	removed      bool   // by a QUIT that was answered
	unconfirmed  bool   // by a QUIT that was not answered, perhaps
	twice        bool   // counted as a duplicate
	uid          string // once it was seen
}

func newBooks() *books {
	b := &books{}
	for i := range b.users {
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

// sure tells whether the copy must be in the maildrop.
func (c *copyOf) sure() bool {
	return (c.acknowledged || c.seen) && !c.removed && !c.unconfirmed && !c.torn
}

// backlog gives how many copies are in the maildrops.
func (b *books) backlog() (n int) {
	for user := range b.users {
		_, here := b.expected(user)
		n += here
	}
	return n
}

// expected gives what a session that logs in from now on must list: unique-ids
// that were seen, and how many copies there are in all, at least. Of each
// maildrop only one session at a time removes anything.
func (b *books) expected(user int) (uids []string, atLeast int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.users[user].open {
		if c.sure() {
			atLeast++
			if c.seen {
				uids = append(uids, c.uid)
			}
		}
	}
	return uids, atLeast
}

// listed enters what a session lists, where that much was expected. What a
// listing leaves out, if only once, a client takes for deleted.
func (b *books) listed(user int, wanted []string, atLeast int, uids map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	missing := 0
	for _, uid := range wanted {
		if !uids[uid] {
			missing++
			b.fault(&b.count.Missing, "unique-id %s of %s is not listed, and was not removed", uid, userName(user))
		}
	}
	if short := atLeast - len(uids); short > missing {
		b.fault(&b.count.Missing, "%d messages of %s are listed, and %d were not removed", len(uids), userName(user), atLeast)
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
	b.refuse(c)
}

// brokenOff enters that the sender breaks off within a message.
func (b *books) brokenOff(copies []*copyOf) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range copies {
		b.count.BrokenOff++
		b.refuse(c)
	}
}

// refuse notes that a copy must not be there. The caller holds mu.
func (b *books) refuse(c *copyOf) {
	c.refused = true
	if c.seen {
		b.twice(c, "the message with unique-id %s is there though it was refused", c.uid)
	}
}

// retrieved enters a message that came to its end. It gives nil for one that
// is not as it should be.
func (b *books) retrieved(user int, uid string, message []byte) *copyOf {
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
		u.tell(b, &b.count.Duplicate, uid, "%s, unique-id %s, came back after the audit that removed it", letterName(user, id), uid)
		return nil
	case c == nil:
		u.tell(b, &b.count.Stray, uid, "%s, unique-id %s, was not sent there", letterName(user, id), uid)
		return nil
	case c.removed:
		b.twice(c, "%s, unique-id %s, came back after QUIT", letterName(user, id), uid)
	case c.refused:
		b.twice(c, "%s, unique-id %s, is there though it was refused", letterName(user, id), uid)
	case c.seen && c.uid != uid:
		b.twice(c, "%s has the unique-ids %s and %s", letterName(user, id), c.uid, uid)
	}
	if !c.seen {
		c.seen, c.uid = true, uid
		b.count.Retrieved++
	}
	c.unconfirmed = false // it is here: the QUIT that was not answered left it
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
		c.unconfirmed = true
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
	}
	for _, c := range copies {
		if removed && !c.removed {
			b.count.Removed++
		}
		c.removed = c.removed || removed
		c.unconfirmed = false
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
		case found[c] || !c.sure():
		case c.acknowledged:
			b.fault(&b.count.Lost, "%s was acknowledged and is gone (retrieved before: %t)", letterName(user, id), c.seen)
		default:
			b.fault(&b.count.Lost, "%s was there and is gone without QUIT", letterName(user, id))
		}
		if !c.acknowledged && !c.refused {
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

// leftBehind enters files that are there though the maildrop is empty.
func (b *books) leftBehind(user int, names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		b.fault(&b.count.Stray, "%s is in the maildrop of %s, which is empty for POP3", name, userName(user))
	}
}
