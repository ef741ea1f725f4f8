package trial

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// books say what became of every copy of every attempt to send a message. They
// are used by many goroutines at once.
type books struct {
	seed  uint64
	names []string // of the users

	mu     sync.Mutex
	lastID uint64
	users  []userBooks
	count  Counts
	faults []string
	notes  []string
}

type userBooks struct {
	sent map[letterOf]*attempt
	seen map[string]*instance // by unique-id
	// Of these, what must be in a listing. Others may be there as well.
	owed    map[*attempt]bool // acknowledged, and not seen yet
	present map[string]*instance
}

// attempt is an attempt to send a message, for one of its recipients.
type attempt struct {
	letterOf
	outcome outcome
	uids    []string // under which it was seen
}

type outcome int

const (
	pending outcome = iota // no reply yet
	acknowledged
	refused    // 4xx or 5xx: the store may have it nevertheless
	unanswered // the connection broke
)

// instance is a message in a maildrop.
type instance struct {
	attempt *attempt  // nil: nobody sent it there, or it is corrupt
	asked   bool      // a QUIT was sent that has it removed, answered or not
	removed time.Time // a QUIT was answered +OK; zero: none
	back    bool
}

func newBooks(seed uint64, users []string) *books {
	b := &books{seed: seed, names: users, users: make([]userBooks, len(users))}
	for i := range b.users {
		b.users[i] = userBooks{make(map[letterOf]*attempt), make(map[string]*instance), make(map[*attempt]bool), make(map[string]*instance)}
	}
	return b
}

// maxTold bounds the faults, and the notes, that are told in words.
const maxTold = 20

// fault counts what must not be. The caller holds mu.
func (b *books) fault(counter *int, format string, args ...any) {
	*counter++
	if len(b.faults) < maxTold {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// note counts what may be. The caller holds mu.
func (b *books) note(counter *int, format string, args ...any) {
	*counter++
	if len(b.notes) < maxTold {
		b.notes = append(b.notes, fmt.Sprintf(format, args...))
	}
}

// newMessage gives an id.
func (b *books) newMessage() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastID++
	return b.lastID
}

// sending enters an attempt, before it is made.
func (b *books) sending(l letterOf, to []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, user := range to {
		b.users[user].sent[l] = &attempt{letterOf: l}
	}
}

// answered enters what came of an attempt.
func (b *books) answered(user int, l letterOf, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &b.users[user]
	a := u.sent[l]
	a.outcome = o
	switch o {
	case acknowledged:
		b.count.Acknowledged++
		if len(a.uids) == 0 {
			u.owed[a] = true
		}
		for _, uid := range a.uids {
			u.keep(uid)
		}
	case refused:
		b.count.Refused++
	case unanswered:
		b.count.Unanswered++
	}
}

// keep notes that from now on a message must be there: it was acknowledged and
// seen, and nobody had it removed.
func (u *userBooks) keep(uid string) {
	if i := u.seen[uid]; i.attempt != nil && i.attempt.outcome == acknowledged && !i.asked {
		u.present[uid] = i
	}
}

// expectation is what a session that logs in later must list, unless it is
// removed meanwhile.
type expectation struct {
	present map[string]*instance
	owed    []*attempt
}

func (b *books) expected(user int) (e expectation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &b.users[user]
	e.present = make(map[string]*instance, len(u.present))
	for uid, i := range u.present {
		e.present[uid] = i
	}
	for a := range u.owed {
		e.owed = append(e.owed, a)
	}
	return e
}

// listed enters what a session lists that logged in, behind that expectation,
// at a time. What a listing leaves out, if only once, a client takes for
// deleted. Of each maildrop only one session at a time removes anything.
func (b *books) listed(user int, e expectation, uids []string, login time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &b.users[user]
	fresh := 0
	for _, uid := range uids {
		i := u.seen[uid]
		switch {
		case i == nil:
			fresh++
		case !i.removed.IsZero() && i.removed.Before(login) && !i.back:
			i.back = true
			b.note(&b.count.Back, "%s of %s is back %v after the QUIT that removed it was answered", uid, b.names[user], login.Sub(i.removed).Round(time.Millisecond))
		}
	}
	for uid, i := range e.present {
		if !i.asked && !slices.Contains(uids, uid) {
			b.fault(&b.count.Missing, "%s, %v, is not listed for %s, and was not removed", uid, i.attempt, b.names[user])
		}
	}
	owed := 0
	for _, a := range e.owed {
		if len(a.uids) == 0 {
			owed++
		}
	}
	if owed > fresh {
		b.fault(&b.count.Missing, "%d messages of %s are acknowledged and were not seen yet, and %d are listed that are new", owed, b.names[user], fresh)
		b.count.Missing += owed - fresh - 1
	}
}

// retrieved enters a message that came to its end.
func (b *books) retrieved(user int, uid string, message []byte) {
	l, whole, ok := readLetter(b.seed, message)
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &b.users[user]
	i := u.seen[uid]
	if i != nil && (i.attempt == nil || ok && whole && i.attempt.letterOf == l) {
		return // known, as it is
	}
	first := i == nil
	if first {
		i = &instance{}
		u.seen[uid] = i
	}
	a := u.sent[l]
	switch {
	case !whole:
		b.fault(&b.count.Corrupt, "%s of %s, %v, is not as it was sent: %d octets came", uid, b.names[user], l, len(message))
	case a == nil:
		b.fault(&b.count.Stray, "%s of %s, %v, was not sent there", uid, b.names[user], l)
	case !first:
		b.fault(&b.count.Corrupt, "%s of %s was %v, and now it is %v", uid, b.names[user], i.attempt, l)
	}
	if !ok || a == nil || !first {
		return
	}
	// One that is corrupt is not lost too.
	delete(u.owed, a)
	if whole {
		b.count.Retrieved++
		i.attempt = a
	}
	if a.uids = append(a.uids, uid); len(a.uids) > 1 {
		b.fault(&b.count.Doubled, "%v of %s was sent once and is there as %q", a, b.names[user], a.uids)
	}
	u.keep(uid)
}

// quitting enters that a QUIT is about to be sent: from now on messages may be
// gone, and even if they are seen again: a request may be on its way for long.
func (b *books) quitting(user int, uids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &b.users[user]
	for _, uid := range uids {
		if i := u.seen[uid]; i != nil {
			i.asked = true
			delete(u.present, uid)
		}
	}
	b.count.Unconfirmed += len(uids)
}

// quit enters that the QUIT was answered +OK.
func (b *books) quit(user int, uids []string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count.Sessions++
	b.count.Unconfirmed -= len(uids)
	for _, uid := range uids {
		if i := b.users[user].seen[uid]; i != nil {
			if i.removed.IsZero() {
				b.count.Removed++
			}
			i.removed, i.back = at, false
		}
	}
}

// login enters a login that failed.
func (b *books) login(inUse bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if inUse {
		b.count.InUse++
	} else {
		b.count.Failed++
	}
}

// settle closes the books on a maildrop, of which the last session found
// these: nobody has delivered to it or removed anything since that began.
func (b *books) settle(user int, found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &b.users[user]
	for a := range u.owed {
		b.fault(&b.count.Lost, "%v of %s was acknowledged and is gone", a, b.names[user])
	}
	for uid, i := range u.seen {
		here := slices.Contains(found, uid)
		switch {
		case here || i.asked || i.attempt == nil:
		case i.attempt.outcome == acknowledged:
			b.fault(&b.count.Unmarked, "%s, %v, of %s is gone, and was not marked", uid, i.attempt, b.names[user])
		default:
			b.note(&b.count.Withdrawn, "%s, %v, of %s was seen, not acknowledged, and is gone", uid, i.attempt, b.names[user])
		}
	}
	attempts := make(map[uint64]int) // that came
	for l, a := range u.sent {
		if len(a.uids) == 0 {
			continue
		}
		if attempts[l.id]++; attempts[l.id] == 2 {
			b.count.Twice++
		}
		if a.outcome != acknowledged {
			b.count.Unacknowledged++
		}
	}
}

// leftBehind enters objects that are in the store though the maildrop is empty.
func (b *books) leftBehind(user int, keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		b.fault(&b.count.Stray, "%s is in the store, though the maildrop of %s is empty", key, b.names[user])
	}
}

// counted gives the counts until now.
func (b *books) counted() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}
