package load

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// Every bucket begins where the one before it ends, and is not wider than a
// 128th of what is in it.
func TestBuckets(t *testing.T) {
	next := int64(0)
	for b := range buckets {
		top := topOf(b)
		if bucketOf(next) != b || bucketOf(top) != b {
			t.Fatalf("bucket %d is said to hold %d to %d, which are in %d and %d", b, next, top, bucketOf(next), bucketOf(top))
		}
		if width := top - next; width > 0 && width > next>>subBits {
			t.Fatalf("bucket %d, from %d, is %d wide", b, next, width)
		}
		next = top + 1
	}
	if next != 1<<topBits {
		t.Errorf("the buckets end at %d", next)
	}
	for _, ns := range []int64{next, math.MaxInt64} {
		if bucketOf(ns) != buckets-1 {
			t.Errorf("%d is in bucket %d", ns, bucketOf(ns))
		}
	}
	if bucketOf(-1) != 0 {
		t.Error("a clock set back has a bucket of its own")
	}
}

// checkQuantiles compares with the same list, sorted.
func checkQuantiles(t *testing.T, list []time.Duration) {
	t.Helper()
	var h histogram
	for _, d := range list {
		h.add(d)
	}
	sorted := slices.Sorted(slices.Values(list))
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		rank := max(int(math.Ceil(q*float64(len(sorted)))), 1)
		exact := sorted[rank-1]
		got := h.quantile(q)
		if got < exact || got-exact > exact>>subBits && exact < 1<<topBits || got > sorted[len(sorted)-1] {
			t.Fatalf("quantile %v of %d is %d, not %d", q, len(list), got, exact)
		}
	}
}

func TestQuantiles(t *testing.T) {
	if new(histogram).quantile(0.5) != 0 || new(histogram).latency() != nil {
		t.Error("an empty histogram has quantiles")
	}
	rng := rand.New(rand.NewPCG(1939, 2449))
	for range 300 {
		list := make([]time.Duration, 1+rng.IntN(2000))
		scale := rng.Float64() * 40
		for i := range list {
			list[i] = time.Duration(math.Exp2(rng.Float64()*scale) + rng.NormFloat64())
			list[i] = max(list[i], 0)
		}
		checkQuantiles(t, list)
	}
}

func FuzzQuantiles(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x7f\x00\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x80"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []time.Duration
		for ; len(data) >= 8; data = data[8:] {
			list = append(list, time.Duration(binary.BigEndian.Uint64(data)>>1))
		}
		if len(list) > 0 {
			checkQuantiles(t, list)
		}
	})
}

func TestHistogramShared(t *testing.T) {
	var h histogram
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 1000 {
				h.add(time.Duration(i) * time.Millisecond)
			}
		})
	}
	wait.Wait()
	if l := h.latency(); l.Count != 8000 || l.Max != 999 || l.P50 < 499 || l.P50 > 503 {
		t.Errorf("%+v", l)
	}
}
