package bucket_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

var (
	runs = flag.Int("simulations", 300, "how many runs TestSimulation makes")
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
	open  []*holding
	tally tally
	calm  bool // no more faults
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
	w := &world{T: t, objects: &buckettest.Store{}, seed: seed, books: make(map[string]*account)}
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

// client delivers and logs in at a node.
type client struct {
	*node
	dice *dice
}

func (n *client) run(until time.Time) {
	for time.Now().Before(until) {
		time.Sleep(n.dice.between(0, 30*time.Second))
		n.goesOn()
		drop := n.drops[n.dice.n(len(n.drops))]
		if n.dice.n(3) == 0 {
			n.deliver(drop)
		} else {
			n.login(drop)
		}
	}
}

// goesOn returns when the node is not stopped.
func (n *client) goesOn() { n.wait(n.dice.between(0, time.Millisecond)) }

// deliver delivers a message.
func (n *client) deliver(drop string) {
	n.mu.Lock()
	n.made++
	text := content(n.made)
	n.mu.Unlock()
	r, err := n.store.Deliver(n.Context(), drop, strings.NewReader(text))
	n.goesOn()
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.tally.Refused++
		return
	}
	if n.dead {
		return // nobody got the answer
	}
	n.tally.Acknowledged++
	a := n.account(drop, r.UID, text)
	a.acknowledged = time.Now()
}

// account gives the account of a message, which is opened when it is first
// seen. Its content can never be another.
func (w *world) account(drop, uid, text string) *account {
	a := w.books[drop+uid]
	if a == nil {
		a = &account{drop: drop, uid: uid, content: text}
		w.books[drop+uid] = a
	}
	if text != "" && a.content == "" {
		a.content = text
	}
	if text != "" && a.content != text {
		w.Errorf("message %s of %s is %.30q, and was %.30q", uid, drop, text, a.content)
	}
	return a
}

// login is a session of a client.
func (n *client) login(drop string) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(n.Context(), 3*time.Minute)
	defer cancel()
	m, err := n.store.Open(ctx, drop)
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		if errors.Is(err, maildrop.ErrInUse) {
			n.tally.InUse++
		} else {
			n.tally.Failed++
		}
		return
	}
	h := &holding{node: n.node, drop: drop, m: m}
	n.mu.Lock()
	n.tally.Logins++
	n.mu.Unlock()
	n.enter(h)
	n.goesOn()
	n.listed(h, began)
	n.use(h)
	n.leave(h)
	m.Close()
}

// enter notes a session, and looks whether another holds the lock.
func (n *node) enter(h *holding) {
	n.mu.Lock()
	if !n.dead {
		n.open = append(n.open, h)
	}
	n.mu.Unlock()
	n.alone(h)
}

func (n *node) leave(h *holding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = slices.DeleteFunc(n.open, func(o *holding) bool { return o == h })
}

// alone looks whether two sessions hold the lock at one moment.
func (n *node) alone(h *holding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h.lock = bucket.Lock(h.m)
	if n.dead || !h.lock() {
		return
	}
	for _, o := range n.open {
		if o != h && o.drop == h.drop && o.lock != nil && o.lock() {
			n.Errorf("nodes %d and %d both hold %s", n.number, o.node.number, h.drop)
		}
	}
}

// listed checks what a session lists: all that was acknowledged before it
// began, unless somebody asked for its removal, and nothing that was removed.
func (n *node) listed(h *holding, began time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	shown := make(map[string]bool)
	for _, msg := range h.m.Messages() {
		if shown[msg.UID] {
			n.Errorf("%s lists %s twice", h.drop, msg.UID)
		}
		shown[msg.UID] = true
	}
	if n.dead {
		return
	}
	for _, a := range n.books {
		switch {
		case a.drop != h.drop:
		case !a.acknowledged.IsZero() && a.acknowledged.Before(began) && !a.asked && !shown[a.uid]:
			n.Errorf("%s, acknowledged, is not listed in %s", a.uid, a.drop)
		case !n.economy && !a.removed.IsZero() && a.removed.Before(began) && shown[a.uid]:
			n.Errorf("%s, removed, is listed in %s again", a.uid, a.drop)
		}
	}
}

// use reads messages, idles, and quits or goes away.
func (n *client) use(h *holding) {
	list := slices.Clone(h.m.Messages())
	for i := range list {
		if n.dice.n(2) == 0 {
			n.retrieve(h, i)
		}
	}
	if n.dice.n(4) == 0 {
		time.Sleep(n.dice.between(0, 2*bucket.DefaultLease))
		n.goesOn()
	}
	n.alone(h)
	if n.dice.n(3) > 0 {
		n.update(h)
	}
	if !slices.Equal(list, h.m.Messages()) {
		n.Errorf("the list of an open maildrop changed")
	}
}

func (n *client) retrieve(h *holding, i int) {
	text, err := (&box{T: n.T}).read(h.m, i)
	n.alone(h)
	n.goesOn()
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tally.Read++
	msg := h.m.Messages()[i]
	if int64(len(text)) != msg.Size {
		n.Errorf("%s has %d octets, and was listed with %d", msg.UID, len(text), msg.Size)
	}
	n.account(h.drop, msg.UID, text)
}

// update removes some of what is listed.
func (n *client) update(h *holding) {
	var marked []int
	var accounts []*account
	n.mu.Lock()
	for i, msg := range h.m.Messages() {
		if n.dice.n(2) == 0 {
			a := n.account(h.drop, msg.UID, "")
			a.asked = true
			marked, accounts = append(marked, i), append(accounts, a)
		}
	}
	n.mu.Unlock()
	began := time.Now()
	late := !bucket.Holds(h.m)
	err := h.m.Remove(n.Context(), marked)
	n.alone(h)
	n.goesOn()
	n.mu.Lock()
	defer n.mu.Unlock()
	if late && !n.economy && len(marked) > 0 {
		n.tally.Late++
	}
	if err != nil {
		n.tally.NotRemoved++
		return
	}
	for _, a := range accounts {
		n.tally.Removed++
		// A delivery that is still under way may write it once more.
		if !a.acknowledged.IsZero() && a.acknowledged.Before(began) && !n.dead && a.removed.IsZero() {
			a.removed = time.Now()
		}
	}
}

// audit looks what is left.
func (w *world) audit() {
	w.economy = false // which sweeps old locks
	n := w.start(99, 0)
	for _, drop := range w.drops {
		m, err := n.store.Open(w.Context(), drop)
		if err != nil {
			w.Errorf("Open of %s when all is calm: %v", drop, err)
			continue
		}
		h := &holding{node: n, drop: drop, m: m}
		n.listed(h, time.Now())
		for i, msg := range m.Messages() {
			text, err := (&box{T: w.T}).read(m, i)
			if err != nil || int64(len(text)) != msg.Size {
				w.Errorf("%s of %s: %d octets, error %v, want %d", msg.UID, drop, len(text), err, msg.Size)
			}
			w.account(drop, msg.UID, text)
		}
		m.Close()
	}
	for _, key := range w.objects.Keys("mail", "") {
		if strings.Contains(key, "/k/") {
			w.Errorf("a lock was left: %s", key)
		}
	}
}
