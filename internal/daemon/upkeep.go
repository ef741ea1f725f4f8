package daemon

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// heapRoom is the garbage that may gather at least before it is collected.
	// Go lets as much gather as is in use, which for a server with few sessions
	// is little: it would collect many times a second.
	heapRoom = 32 << 20

	// tendEvery is how often memory is looked after.
	tendEvery = time.Second / 2

	// tidyEvery is how often at most the garbage of a quiet server is collected.
	tidyEvery = 5 * time.Second

	// tidyLeast is how much of it there must be: a quarter of what is in use,
	// and this.
	tidyLeast = 8 << 20
)

// upkeep has the garbage of the program collected less often than Go would
// where there is little in use, and once more when the work is done: of
// thousands of sessions that only wait, what their logins took goes back to the
// machine at once, and not at some later collection.
type upkeep struct {
	tuned     bool // the operator says in GOGC how often
	percent   int
	allocated uint64 // octets until the last look
	quiet     int    // looks in a row at which little had been allocated
	tidied    time.Time
	samples   []metrics.Sample
}

// The order of upkeep.samples.
const (
	liveOctets = iota // in use as the last collection found it
	heapOctets        // in use, and garbage
	freeOctets        // neither, and not given back
	allocated         // since the start
)

func newUpkeep() *upkeep {
	return &upkeep{tidied: time.Now(), tuned: os.Getenv("GOGC") != "", percent: 100, samples: []metrics.Sample{
		liveOctets: {Name: "/gc/heap/live:bytes"},
		heapOctets: {Name: "/memory/classes/heap/objects:bytes"},
		freeOctets: {Name: "/memory/classes/heap/free:bytes"},
		allocated:  {Name: "/gc/heap/allocs:bytes"},
	}}
}

// run looks after memory until ctx ends.
func (m *upkeep) run(ctx context.Context) {
	if m.tuned {
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(m.percent))
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			metrics.Read(m.samples)
			value := func(i int) uint64 { return m.samples[i].Value.Uint64() }
			if percent := gcPercent(value(liveOctets)); percent != m.percent {
				m.percent = percent
				debug.SetGCPercent(percent)
			}
			live := value(liveOctets)
			if fresh := value(allocated) - m.allocated; fresh <= max(tidyLeast/8, live/64) {
				m.quiet++
			} else {
				m.quiet = 0
			}
			m.allocated = value(allocated)
			spare := value(heapOctets) - min(live, value(heapOctets)) + value(freeOctets)
			if m.quiet >= 3 && now.Sub(m.tidied) >= tidyEvery && spare >= max(tidyLeast, live/4) {
				debug.FreeOSMemory()
				m.tidied = now
			}
		}
	}
}

// gcPercent gives the GOGC that leaves heapRoom, or Go's own.
func gcPercent(live uint64) int {
	return max(100, int(heapRoom*100/max(live, heapRoom/16)))
}
