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
	torn    map[string]bool     // unique-ids of what was found torn
}

// copyOf is a message for one of its recipients. No id is sent twice.
type copyOf struct {
	acknowledged bool
	refused      bool
	seen         bool   // retrieved
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

// backlog gives how many copies may be in the maildrops.
func (b *books) backlog() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.users {
		for _, c := range b.users[i].open {
			if c.acknowledged && !c.removed {
				n++
			}
		}
	}
	return n
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
	} else {
		c.refused = true
		b.count.Refused++
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
		if !u.torn[uid] {
			u.torn[uid] = true
			b.fault(&b.count.Torn, "%s (0: the id is not there), unique-id %s, is torn: %d octets came", letterName(user, id), uid, len(message))
		}
		if c := u.open[id]; ok && c != nil {
			c.seen = true // it is torn, and not lost too
		}
		return nil
	}
	c := u.open[id]
	_, settled := u.settled[id]
	switch {
	case settled:
		b.fault(&b.count.Duplicate, "%s, unique-id %s, came back after the audit that removed it", letterName(user, id), uid)
		return nil
	case c == nil:
		b.fault(&b.count.Stray, "%s, unique-id %s, was not sent there", letterName(user, id), uid)
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
	return c
}

// twice is fault for a duplicate, which counts once. The caller holds mu.
func (b *books) twice(c *copyOf, format string, args ...any) {
	if !c.twice {
		c.twice = true
		b.fault(&b.count.Duplicate, format, args...)
	}
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
		case found[c] || c.removed || c.unconfirmed:
		case c.acknowledged:
			b.fault(&b.count.Lost, "%s was acknowledged and is gone (retrieved before: %t)", letterName(user, id), c.seen)
		case c.seen:
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
	clear(u.torn)
}

// leftBehind enters files that are there though the maildrop is empty.
func (b *books) leftBehind(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 {
		b.fault(&b.count.Stray, "%d files are in a maildrop that is empty for POP3", n)
	}
}
