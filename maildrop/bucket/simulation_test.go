package bucket_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

var (
	runs = flag.Int("simulations", 200, "how many runs TestSimulation makes")
	seed = flag.String("seed", "", "the seed of the one run that TestSimulation makes, or POPLIN_SEED")
)

// TestSimulation: nodes with clocks that differ, over gateways with clocks
// that differ, deliver and hold sessions at the same maildrops. Nodes are
// stopped for longer than a lease, and die; requests fail in every way. What
// must hold is in books. A failure prints the seed of its run.
func TestSimulation(t *testing.T) {
	if s := max(*seed, os.Getenv("POPLIN_SEED")); s != "" {
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", simulate(t, n))
		return
	}
	var sum tally
	for range *runs {
		one := rand.Uint64()
		sum.add(simulate(t, one))
		if t.Failed() {
			t.Fatalf("replay with: go test ./maildrop/bucket -run TestSimulation -seed %#x", one)
		}
	}
	t.Logf("%d runs: %+v", *runs, sum)
	if sum.Acknowledged == 0 || sum.Removed == 0 || sum.InUse == 0 || sum.Faults == 0 || sum.Late == 0 || sum.Read == 0 {
		t.Errorf("something never happened: %+v", sum)
	}
}

// tally counts what happened.
type tally struct{ Acknowledged, Refused, Logins, InUse, Failed, Read, Removed, NotRemoved, Late, Faults, Deaths, Pauses int }

func (s *tally) add(o tally) {
	s.Acknowledged += o.Acknowledged
	s.Refused += o.Refused
	s.Logins += o.Logins
	s.InUse += o.InUse
	s.Failed += o.Failed
	s.Read += o.Read
	s.Removed += o.Removed
	s.NotRemoved += o.NotRemoved
	s.Late += o.Late
	s.Faults += o.Faults
	s.Deaths += o.Deaths
	s.Pauses += o.Pauses
}

// simulate makes one run.
func simulate(t *testing.T, seed uint64) (sum tally) {
	t.Helper()
	t.Run(fmt.Sprintf("seed %#x", seed), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			w.run()
			sum = w.tally
		})
	})
	return sum
}

// world is a run, and its books.
type world struct {
	*testing.T
	objects *buckettest.Store
	economy bool
	drops   []string
	rate    int // of 1000 calls so many fail
	nodes   int

	seed uint64

	mu    sync.Mutex // for all below; nothing waits under it
	made  int
	books map[string]*account // by maildrop and UID

	unsettled map[string]time.Time // by maildrop: since when each removal must leave a trace
	settling  map[string]int       // by maildrop: how many are about to end that
	open      []*holding
	tally     tally
	calm      bool // no more faults
}

// dice is a source of chance. Each goroutine has one of its own, and those of
// a node's requests are drawn in the order of time, so that a seed gives the
// same run again.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// dice makes one for a part of the world.
func (w *world) dice(part ...int) *dice {
	n := uint64(1)
	for _, p := range part {
		n = n*1_000 + uint64(p)
	}
	return &dice{rng: rand.New(rand.NewPCG(w.seed, n))}
}

// n draws a number below n.
func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

// between draws a time.
func (d *dice) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.n(int(to-from)))
}

// account is what is known of a message.
type account struct {
	drop, uid, content string
	acknowledged       time.Time // zero: not yet, or never
	asked              bool      // a client asked for its removal
	removed            time.Time // when the removal of it, asked for once it was acknowledged, was answered
	aside              bool      // it must be kept aside then
}

// holding is a session that is open.
type holding struct {
	node *node
	drop string
	m    maildrop.Maildrop
	lock func() bool // whether it believes that it holds the lock
}

// node is a front-end.
type node struct {
	*world
	number int
	life   int           // how many there were before it
	way    *dice         // of its requests
	skew   time.Duration // of its clock
	store  *bucket.Store
	dead   bool
	resume chan struct{} // while it is stopped: closed when it goes on
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{T: t, objects: &buckettest.Store{}, seed: seed, books: make(map[string]*account), unsettled: make(map[string]time.Time), settling: make(map[string]int)}
	d := w.dice()
	w.economy = d.n(3) == 0
	for i := range 1 + d.n(2) {
		w.drops = append(w.drops, fmt.Sprintf("user%d@example.org", i))
	}
	w.rate, w.nodes = []int{0, 10, 50, 150}[d.n(4)], 2+d.n(2)
	return w
}

// start brings up a node, in the place of one that died.
func (w *world) start(number, life int) *node {
	n := &node{world: w, number: number, life: life, way: w.dice(number, life, 1)}
	n.skew = n.way.between(-48*time.Hour, 48*time.Hour)
	gateway := &buckettest.Gateway{Store: w.objects, Skew: n.way.between(0, bucket.DefaultLease/8), Fault: n.fault}
	n.store = newStore(w.T, bucket.Options{Engine: gateway, Bucket: "mail", Economy: w.economy})
	n.store.SetClock(func() time.Time { return time.Now().Add(n.skew) })
	n.store.SetJitter(func(most time.Duration) time.Duration { return n.way.between(0, most) })
	return n
}

// fault is on the way of each request of a node: it takes some time, waits
// while the node is stopped, and may fail.
func (n *node) fault(c buckettest.Call) buckettest.Fault {
	n.mu.Lock()
	takes, wakes, chance, coin, kind := n.way.between(time.Millisecond, 60*time.Millisecond), n.way.between(0, time.Millisecond),
		n.way.n(1000), n.way.n(2), n.way.n(len(buckettest.Faults()))
	n.mu.Unlock()
	time.Sleep(takes)
	stopped := n.wait(wakes)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.dead:
		return buckettest.Dead
	case stopped && coin == 0:
		return buckettest.Unanswered // the store got it, whoever waits for the reply
	case n.calm || chance >= n.rate:
		return buckettest.None
	}
	n.tally.Faults++
	return buckettest.Faults()[kind]
}

// wait returns when the node is not stopped; where it was, a moment later.
func (n *node) wait(wakes time.Duration) (stopped bool) {
	for ; ; stopped = true {
		n.mu.Lock()
		resume := n.resume
		n.mu.Unlock()
		if resume == nil {
			return stopped
		}
		<-resume
		time.Sleep(wakes)
	}
}

// run lets the world go on for some minutes, and then looks what is left.
func (w *world) run() {
	const duration = 20 * time.Minute
	end := time.Now().Add(duration)
	var all sync.WaitGroup
	for i := range w.nodes {
		all.Go(func() { w.life(i, end) })
	}
	all.Wait()
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	time.Sleep(3 * bucket.DefaultLease)
	w.audit()
}

// life is that of a node, and of those that come after it when it dies.
func (w *world) life(number int, end time.Time) {
	for life := 0; time.Now().Before(end); life++ {
		n, d := w.start(number, life), w.dice(number, life, 2)
		until := end
		if d.n(3) == 0 {
			until = time.Now().Add(d.between(time.Minute, 10*time.Minute))
		}
		var all sync.WaitGroup
		for i := range 2 {
			c := &client{n, w.dice(number, life, 10+i)}
			all.Go(func() { c.run(until) })
		}
		all.Go(func() { n.stops(until, d) })
		time.Sleep(time.Until(until))
		if until.Before(end) {
			n.die()
		}
		all.Wait()
	}
}

// die ends a node as kill -9 does: its sessions are of no account any more.
func (n *node) die() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	n.tally.Deaths++
	n.open = slices.DeleteFunc(n.open, func(h *holding) bool { return h.node == n })
}

// stops stops the node now and then, for long enough to lose its leases or
// not.
func (n *node) stops(until time.Time, d *dice) {
	for time.Now().Before(until) {
		time.Sleep(d.between(time.Minute, 15*time.Minute))
		n.mu.Lock()
		n.resume = make(chan struct{})
		n.tally.Pauses++
		n.mu.Unlock()
		time.Sleep(d.between(time.Second, 2*bucket.DefaultLease))
		n.mu.Lock()
		close(n.resume)
		n.resume = nil
		n.mu.Unlock()
	}
}
