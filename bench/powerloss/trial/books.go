package trial

import (
	"fmt"
	"math"
	"path"
	"sync"

	"github.com/poplin-mail/poplin/bench/powerloss/disk"
)

// books say when what was done to every copy of every message, in moments of
// the log. They are used by many goroutines at once.
type books struct {
	log *disk.Log

	mu      sync.Mutex
	lastID  uint64
	copies  map[copyKey]*copyOf
	acks    []int // the moments of all acknowledgements of mail
	quits   []int // and of QUIT, where messages were marked
	count   Counts
	refusal string // the first reply that was none
}

// copyKey is a message for one of its recipients.
type copyKey struct {
	user int
	id   uint64
}

func (k copyKey) String() string { return fmt.Sprintf("message %d of %s", k.id, userName(k.user)) }

// never is later than every moment.
const never = math.MaxInt

// copyOf is what happened to a copy, in moments: never later than it did in
// acknowledged and removed, never earlier in removing.
type copyOf struct {
	acknowledged int // answered 250
	removing     int // QUIT was about to be sent
	removed      int // QUIT was answered +OK
}

func newBooks(log *disk.Log) *books {
	return &books{log: log, copies: make(map[copyKey]*copyOf)}
}

// sending enters a new message, before it is sent.
func (b *books) sending(to []int) (id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastID++
	for _, user := range to {
		b.copies[copyKey{user, b.lastID}] = &copyOf{never, never, never}
	}
	return b.lastID
}

// answered enters a reply to a delivery, which came at that moment.
func (b *books) answered(key copyKey, moment int, reply string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !accepts(reply) {
		b.count.Refused++
		if b.refusal == "" {
			b.refusal = reply
		}
		return
	}
	b.copies[key].acknowledged = moment
	b.count.Acknowledged++
	b.acks = append(b.acks, moment)
}

// quitting enters that QUIT is about to be sent.
func (b *books) quitting(keys []copyKey, moment int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		b.copies[key].removing = min(b.copies[key].removing, moment)
	}
}

// quit enters that QUIT was answered +OK.
func (b *books) quit(keys []copyKey, moment int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		b.copies[key].removed = moment
		b.count.Removed++
	}
	if len(keys) > 0 {
		b.quits = append(b.quits, moment)
	}
}

// shown tells whether enough has happened for a round to be worth a look.
func (b *books) shown() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count.Acknowledged >= 50 && len(b.quits) >= 5
}

// found is a file of a Maildir after power loss.
type found struct {
	user  int
	name  string // from the Maildir
	aside bool   // removed, and kept for undelete
	id    uint64
	whole bool
	known bool // there is an id
}

// judge looks what became of all copies when the power failed at that moment.
// It is for when nothing happens any more. With undo, removed messages are kept
// aside.
func (b *books) judge(files []found, moment int, undo bool) (c Counts, faults []string) {
	fault := func(counter *int, format string, args ...any) {
		*counter++
		faults = append(faults, fmt.Sprintf(format, args...))
	}
	in, aside := make(map[copyKey]int), make(map[copyKey]int)
	for _, f := range files {
		key := copyKey{f.user, f.id}
		where := path.Join(userName(f.user), f.name)
		switch {
		case !f.known:
			fault(&c.Torn, "%s has not even an id", where)
		case b.copies[key] == nil:
			fault(&c.Stray, "%s holds message %d, which was not sent there", where, f.id)
		case !f.whole:
			fault(&c.Torn, "%s, %v, is torn", where, key)
		}
		if f.aside {
			aside[key]++
		} else {
			in[key]++
		}
	}
	for key, copied := range b.copies {
		if in[key]+aside[key] > 1 {
			fault(&c.Double, "%v is there %d times, and aside %d times", key, in[key], aside[key])
		}
		if copied.acknowledged > moment {
			continue // nothing was promised
		}
		c.Checks++
		switch {
		case copied.removed <= moment && in[key] > 0:
			fault(&c.Returned, "%v was removed at %d and is there", key, copied.removed)
		case in[key] > 0 || undo && aside[key] > 0 && copied.removing < moment:
		case copied.removing < moment && !undo:
		default:
			fault(&c.Lost, "%v was acknowledged at %d and is gone", key, copied.acknowledged)
		}
	}
	return c, faults
}
