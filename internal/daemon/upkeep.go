package daemon

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// tendEvery is how often memory is looked after.
	tendEvery = time.Second / 2

	// tidyEvery is how often at most the garbage of a quiet server is collected.
	tidyEvery = 5 * time.Second

	// tidyLeast is how much of it there must be, in octets: this, and a quarter
	// of what is in use.
	tidyLeast = 8 << 20

	// quietLooks is how many looks in a row must find that hardly anything was
	// allocated. Until then sessions have come to rest.
	quietLooks = 3
)

// upkeep gives memory back to the machine when the work is done: what the
// logins of thousands of sessions took, which then only wait, would otherwise
// be kept until Go's next collection, which on a quiet server is minutes away.
type upkeep struct {
	looked uint64 // octets allocated until the last look
	quiet  int    // looks in a row at which little had been allocated
	tidied time.Time
}

// usage is what a look finds, in octets.
type usage struct {
	live      uint64 // in use as the last collection found it
	heap      uint64 // in use, and garbage
	free      uint64 // neither, and not given back
	allocated uint64 // since the start
}

// run looks after memory until ctx ends.
func (u *upkeep) run(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	u.tidied = time.Now() // what the start takes is little
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			metrics.Read(samples)
			of := func(i int) uint64 { return samples[i].Value.Uint64() }
			if u.untidy(now, usage{of(0), of(1), of(2), of(3)}) {
				debug.FreeOSMemory()
			}
		}
	}
}

// untidy tells whether memory is to be collected and given back now.
func (u *upkeep) untidy(now time.Time, m usage) bool {
	fresh := m.allocated - u.looked
	u.looked = m.allocated
	if u.quiet++; fresh > max(tidyLeast/8, m.live/64) {
		u.quiet = 0
	}
	spare := m.free
	if m.heap > m.live {
		spare += m.heap - m.live
	}
	if u.quiet < quietLooks || now.Sub(u.tidied) < tidyEvery || spare < max(tidyLeast, m.live/4) {
		return false
	}
	u.tidied = now
	return true
}
