package directory

import (
	"context"
	"runtime"
	"sync"
)

// hashMemory is what all checks of passwords together may take: a flood of
// logins then waits in line instead of taking the machine's memory. A single
// hash that asks for more runs alone.
const hashMemory = 512 << 20

// gate bounds the checks that run at once, by their memory and by the number
// of processors. Those that wait are let in in their order.
type gate struct {
	mu    sync.Mutex
	free  int64
	total int64
	share int64 // the least that a check counts for
	queue []*waiter
}

type waiter struct {
	need  int64
	ready chan struct{}
}

func newGate(memory int64) *gate {
	return &gate{free: memory, total: memory, share: memory / int64(runtime.GOMAXPROCS(0))}
}

// enter waits for a place. The function that it returns gives the place back.
func (g *gate) enter(ctx context.Context, memory int64) (leave func(), err error) {
	need := min(max(memory, g.share), g.total)
	g.mu.Lock()
	if len(g.queue) == 0 && g.free >= need {
		g.free -= need
		g.mu.Unlock()
		return func() { g.give(need) }, nil
	}
	w := &waiter{need: need, ready: make(chan struct{})}
	g.queue = append(g.queue, w)
	g.mu.Unlock()
	select {
	case <-w.ready:
		return func() { g.give(need) }, nil
	case <-ctx.Done():
		g.withdraw(w)
		return nil, ctx.Err()
	}
}

// give takes memory back and lets those in who fit now.
func (g *gate) give(memory int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += memory
	g.admit()
}

func (g *gate) admit() {
	for len(g.queue) > 0 && g.queue[0].need <= g.free {
		g.free -= g.queue[0].need
		close(g.queue[0].ready)
		g.queue = g.queue[1:]
	}
}

// withdraw takes a waiter whose time is up out of the line. One that was let
// in at the same moment gives its place back.
func (g *gate) withdraw(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.queue {
		if other == w {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			g.admit()
			return
		}
	}
	g.free += w.need
	g.admit()
}
