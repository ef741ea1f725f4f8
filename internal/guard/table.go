package guard

import (
	"math"
	"time"
)

// entry is what is known of an address or a user.
type entry struct {
	count   float64 // of wrong guesses, at the time of at
	at      time.Time
	waiting int // guesses under way
}

// age lets the count decay.
func (e *entry) age(now time.Time) {
	if passed := now.Sub(e.at); passed > 0 {
		e.count *= math.Exp2(-float64(passed) / float64(halfLife))
		e.at = now
	}
}

// table is a bounded map of entries.
type table[K comparable] map[K]*entry

// get gives the entry of a key, as it is now. A table that is full loses one
// that matters little.
func (t table[K]) get(key K, now time.Time) *entry {
	e := t[key]
	if e == nil {
		if len(t) >= tableSize {
			t.evict(now)
		}
		e = &entry{at: now}
		t[key] = e
	}
	e.age(now)
	return e
}

// evict removes the least of a few entries, which the map's own order makes
// random ones. Entries with guesses under way go last; they go on counting for
// those guesses, and are forgotten with them.
func (t table[K]) evict(now time.Time) {
	const sample = 16
	var least K
	var found *entry
	n := 0
	for key, e := range t {
		e.age(now)
		if found == nil || e.waiting < found.waiting || e.waiting == found.waiting && e.count < found.count {
			least, found = key, e
		}
		if n++; n == sample {
			break
		}
	}
	delete(t, least)
}
