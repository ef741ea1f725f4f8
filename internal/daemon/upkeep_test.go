package daemon

import (
	"context"
	"testing"
	"time"
)

// Memory is given back once a server is quiet, where that is worth it, and not
// again and again.
func TestUntidy(t *testing.T) {
	const mib = 1 << 20
	start := time.Unix(1e9, 0)
	for _, tt := range []struct {
		name  string
		looks []usage
		want  []int // the looks after which memory is given back
	}{
		{"garbage of a server at work", repeat(20, usage{live: 10 * mib, heap: 30 * mib}, 2*mib), nil},
		{"then quiet", repeat(20, usage{live: 10 * mib, heap: 30 * mib}, 0), []int{10}},
		{"a few commands do not count", repeat(20, usage{live: 10 * mib, heap: 30 * mib}, mib/2), []int{10}},
		{"with much in use more of them do not", repeat(20, usage{live: 200 * mib, heap: 300 * mib}, 2*mib), []int{10}},
		{"not given back", repeat(20, usage{live: 30 * mib, heap: 30 * mib, free: 9 * mib}, 0), []int{10}},
		{"little", repeat(20, usage{live: 2 * mib, heap: 9 * mib}, 0), nil},
		{"little of what is in use", repeat(20, usage{live: 100 * mib, heap: 120 * mib}, 0), nil},
		{"again", repeat(41, usage{live: 10 * mib, heap: 30 * mib}, 0), []int{10, 20, 30, 40}},
	} {
		u := &upkeep{tidied: start}
		var got []int
		for i, m := range tt.looks {
			if u.untidy(start.Add(time.Duration(i)*tendEvery), m) {
				got = append(got, i)
			}
		}
		if len(got) != len(tt.want) || len(got) > 0 && got[0] != tt.want[0] {
			t.Errorf("%s: given back at looks %v, want %v", tt.name, got, tt.want)
		}
	}
}

// repeat makes looks at the same use of memory, with some allocated between them.
func repeat(n int, m usage, fresh uint64) []usage {
	looks := make([]usage, n)
	for i := range looks {
		looks[i] = m
		looks[i].allocated = uint64(i) * fresh
	}
	return looks
}

func TestUpkeepEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		new(upkeep).run(ctx)
		close(done)
	}()
	time.Sleep(2 * tendEvery) // it looks
	cancel()
	<-done
}
