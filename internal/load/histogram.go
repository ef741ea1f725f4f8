package load

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// subBits makes 128 buckets of each power of two, so that no bucket is
	// wider than a 128th of what is in it.
	subBits = 7

	// topBits bounds what is told apart: 2^42 ns are 73 minutes. What takes
	// longer is counted in the last bucket.
	topBits = 42

	buckets = (topBits - subBits + 1) << subBits
)

// histogram counts durations in buckets whose width grows with the value, 37
// kB whatever the number of them. Any goroutine may add.
type histogram struct {
	counts [buckets]atomic.Uint64
	n      atomic.Uint64
	max    atomic.Int64
}

// bucketOf gives the bucket of a number of nanoseconds: below 128 its own, and
// above by its highest bit and the seven that follow it.
func bucketOf(ns int64) int {
	ns = max(ns, 0)
	shift := max(bits.Len64(uint64(ns))-subBits-1, 0)
	return min(shift<<subBits+int(ns>>shift), buckets-1)
}

// topOf gives the largest number of nanoseconds in a bucket.
func topOf(bucket int) int64 {
	shift := max(bucket>>subBits-1, 0)
	return int64(bucket-shift<<subBits+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(int64(d))].Add(1)
	h.n.Add(1)
	for {
		top := h.max.Load()
		if int64(d) <= top || h.max.CompareAndSwap(top, int64(d)) {
			return
		}
	}
}

// quantile gives a duration that the share q of all is not above: the smallest
// of which that is true, or up to a 128th more. Zero where nothing was added.
func (h *histogram) quantile(q float64) time.Duration {
	n := h.n.Load()
	if n == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(n))), 1)
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank {
			if i == buckets-1 {
				break // it has no end but the largest
			}
			return time.Duration(min(topOf(i), h.max.Load()))
		}
	}
	return time.Duration(h.max.Load())
}

// Latency tells how long something took, in milliseconds. The percentiles are
// at most a 128th too high.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func (h *histogram) latency() *Latency {
	if h.n.Load() == 0 {
		return nil
	}
	return &Latency{
		Count: h.n.Load(), P50: ms(h.quantile(0.5)), P90: ms(h.quantile(0.9)), P99: ms(h.quantile(0.99)),
		Max: ms(time.Duration(h.max.Load())),
	}
}

// ms gives milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1000 }
