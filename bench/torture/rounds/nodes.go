package rounds

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/bench/gateways"
)

// NodeOptions say how RunNodes works. All but Progress must be set.
type NodeOptions struct {
	Poplin    string // paths of the programs
	Versitygw string
	Dir       string // folder for files, absolute, which stays
	Time      time.Duration
	Seed      uint64

	// Progress is called after each audit. Nil: it is not.
	Progress func(Counts)
}

const (
	nodes        = 2
	gatewayCount = 2

	// lease is the shortest that there is: locks of the dead stay for it and an
	// eighth.
	lease = 8 * time.Second

	// roundTime is how long there is load between two audits.
	roundTime = 45 * time.Second

	nodeDeliverers = 4 // of each node

	// inUseNap is how long a client waits that finds its maildrop in use.
	inUseNap = 30 * time.Millisecond
)

// nodePauses are those of deliverers: one store for all is slower than a disk
// for each.
var nodePauses = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// RunNodes has two `poplin serve` over one object store, which two gateways
// and a balancer serve, take and give the same mail. Nodes are killed with
// SIGKILL and stopped with SIGSTOP, some for longer than a lease, and gateways
// are killed, sometimes both. Time is that of load; an audit after each round
// takes about ten seconds more.
//
// What must hold is as in Run, but for mail that was refused: it may be there,
// where the store got it and could not say so. Also, two sessions never hold a
// maildrop at the same time.
func RunNodes(ctx context.Context, opts NodeOptions) (*Result, error) {
	c := &cluster{NodeOptions: opts, books: newBooks()}
	c.books.late, c.books.nap, c.books.idle = true, inUseNap, lease
	var err error
	if c.gateways, err = gateways.Start(ctx, opts.Versitygw, opts.Dir, gatewayCount); err != nil {
		return nil, err
	}
	defer c.gateways.Close()
	if err := c.configure(ctx); err != nil {
		return nil, err
	}
	for left, n := opts.Time, 1; left > 0; left, n = left-roundTime, n+1 {
		if err := c.round(ctx, n, min(left, roundTime)); err != nil {
			return c.result(), fmt.Errorf("round %d: %w", n, err)
		}
		if opts.Progress != nil {
			opts.Progress(c.books.counted())
		}
	}
	return c.result(), nil
}

// cluster is a RunNodes that goes on.
type cluster struct {
	NodeOptions
	books    *books
	gateways *gateways.Gateways
}

const nodeToml = `state = "%[1]s/state"
hostname = "torture.example.org"
[pop3]
listen = ["127.0.0.1:0"]
require_tls = false
[pop3s]
listen = []
[lmtp]
listen = ["unix:%[2]s"]
[console]
listen = []
[maildrops]
store = "bucket"
[maildrops.bucket]
endpoints = [%[3]q]
access_key = %[4]q
secret_key = %[5]q
buckets = 2
lease = "%[6]v"
[users]
file = "%[7]s/users"
`

func (c *cluster) nodeDir(i int) string { return filepath.Join(c.Dir, fmt.Sprintf("node%d", i)) }

// configure writes what the nodes read, which differs in their folders alone,
// and makes the buckets.
func (c *cluster) configure(ctx context.Context) error {
	if err := configure(c.Dir); err != nil { // the users
		return err
	}
	for i := range nodes {
		dir := c.nodeDir(i)
		text := fmt.Appendf(nil, nodeToml, dir, socket(dir), c.gateways.Balancer(), gateways.AccessKey, gateways.SecretKey, lease, c.Dir)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "poplin.toml"), text, 0o600)); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, c.Poplin, "bucket", "init", "--config", filepath.Join(c.nodeDir(0), "poplin.toml")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("poplin bucket init: %w\n%s", err, out)
	}
	return nil
}

// round lets nodes and gateways live and die for some time, and audits.
func (c *cluster) round(ctx context.Context, n int, span time.Duration) error {
	until := time.Now().Add(span)
	errs := make([]error, nodes+1)
	var all sync.WaitGroup
	for i := range nodes {
		all.Go(func() {
			numbers := random(c.Seed, n, i)
			for life := 0; time.Now().Before(until) && errs[i] == nil && ctx.Err() == nil; life++ {
				// One node is stopped for long in each round, whatever chance says.
				errs[i] = c.life(ctx, i, until, numbers, i == n%nodes && life == 0)
			}
		})
	}
	all.Go(func() { errs[nodes] = c.breakGateways(ctx, until, random(c.Seed, n, nodes)) })
	all.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return err
	}
	if err := c.audit(ctx); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// life is that of a node, from its start to its kill.
func (c *cluster) life(ctx context.Context, i int, until time.Time, numbers *rand.Rand, long bool) error {
	if numbers.IntN(earlyEvery) == 0 {
		c.count(func(n *Counts) { n.EarlyKills++ })
		if err := killStarting(c.Poplin, c.nodeDir(i), between(numbers, 0, time.Second)); err != nil {
			return err
		}
	}
	s, err := startServer(ctx, c.Poplin, c.nodeDir(i))
	if err != nil && ctx.Err() == nil {
		// It does not start where its store is away.
		c.count(func(n *Counts) { n.Failed++ })
		return sleep(ctx, 100*time.Millisecond)
	} else if err != nil {
		return err
	}
	defer s.kill()
	work := c.load(ctx, i, s, numbers)
	err = c.stop(ctx, s, until, numbers, long)
	longest := 6 * time.Second
	if numbers.IntN(3) == 0 {
		longest = 3 * lease // for locks to be renewed, and renewed ones to be met
	}
	if left := time.Until(until); err == nil && left > 0 {
		err = sleep(ctx, min(left, between(numbers, 200*time.Millisecond, longest)))
	}
	byItself := s.ended()
	s.kill()
	work.Wait()
	c.count(func(n *Counts) { n.Kills++ })
	if byItself {
		return fmt.Errorf("node %d ended by itself: %v%s", i, s.cmd.ProcessState, s.lastOfLog())
	}
	return err
}

// load has clients work with a node until it is killed. What fails meanwhile
// is tried again: the store may be away.
func (c *cluster) load(ctx context.Context, i int, s *server, numbers *rand.Rand) *sync.WaitGroup {
	var work sync.WaitGroup
	begin := func(f func(*rand.Rand) error) {
		own := rand.New(rand.NewPCG(numbers.Uint64(), uint64(i)))
		work.Go(func() {
			for !s.killed.Load() && ctx.Err() == nil {
				if err := f(own); err != nil && !s.killed.Load() {
					c.count(func(n *Counts) { n.Failed++ })
					sleep(ctx, inUseNap)
				}
			}
		})
	}
	pause := nodePauses[numbers.IntN(len(nodePauses))]
	for range nodeDeliverers {
		begin(func(own *rand.Rand) error { return c.books.deliver(s, pause, own) })
	}
	for user := range maildrops {
		begin(func(own *rand.Rand) error { return c.books.poll(ctx, s, user, own) })
	}
	return &work
}

// stop has a node stand still for a moment, or until others have taken its
// locks for those of a dead one, or, unless it must, not at all.
func (c *cluster) stop(ctx context.Context, s *server, until time.Time, numbers *rand.Rand, must bool) error {
	before, kind := between(numbers, 200*time.Millisecond, 3*time.Second), numbers.IntN(5)
	long := must || kind == 0
	span := between(numbers, 50*time.Millisecond, 2*time.Second)
	if long {
		span += lease + lease/8
	}
	if !must && (kind >= 3 || time.Until(until) < before+span) {
		return nil
	}
	if err := sleep(ctx, before); err != nil {
		return err
	}
	c.count(func(n *Counts) {
		n.Stops++
		if long {
			n.LongStops++
		}
	})
	if err := s.stop(); err != nil {
		return err
	}
	return errors.Join(sleep(ctx, span), s.goOn())
}

// breakGateways kills gateways and starts them again.
func (c *cluster) breakGateways(ctx context.Context, until time.Time, numbers *rand.Rand) error {
	for {
		pause := between(numbers, 300*time.Millisecond, 4*time.Second)
		if time.Until(until) < pause {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		broken := []int{numbers.IntN(gatewayCount)}
		if numbers.IntN(6) == 0 {
			broken = []int{0, 1}
			c.count(func(n *Counts) { n.Outages++ })
		}
		for _, i := range broken {
			c.gateways.Kill(i)
			c.count(func(n *Counts) { n.GatewayKills++ })
		}
		if err := sleep(ctx, between(numbers, 0, 1500*time.Millisecond)); err != nil {
			return err
		}
		for _, i := range broken {
			if err := c.gateways.Restart(ctx, i); err != nil {
				return err
			}
		}
	}
}

// audit empties all maildrops, as soon as the locks of those that were killed
// have ended, and closes the books.
func (c *cluster) audit(ctx context.Context) error {
	errs := make([]error, maildrops)
	var work sync.WaitGroup
	for i := range nodes {
		s, err := startServer(ctx, c.Poplin, c.nodeDir(i))
		if err != nil {
			return err
		}
		defer s.kill()
		for user := i; user < maildrops; user += nodes {
			work.Go(func() {
				if err := c.books.drain(ctx, s, user); err != nil {
					errs[user] = fmt.Errorf("maildrop %s: %w%s", userName(user), err, s.lastOfLog())
				}
			})
		}
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.inspect()
}

// inspect looks for objects in maildrops that were emptied, of which only the
// generations may be left. What begins with "poplin-" belongs to no maildrop.
func (c *cluster) inspect() error {
	for _, name := range []string{"mail-00", "mail-01"} {
		keys, err := c.gateways.Keys(name)
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return strings.HasSuffix(key, "/g") || strings.HasPrefix(key, "poplin-") })
		c.books.leftBehind(keys)
	}
	return nil
}

func (c *cluster) count(f func(*Counts)) {
	c.books.mu.Lock()
	defer c.books.mu.Unlock()
	f(&c.books.count)
}

func (c *cluster) result() *Result {
	c.books.mu.Lock()
	defer c.books.mu.Unlock()
	return &Result{late: true, Counts: c.books.count, Faults: slices.Clone(c.books.faults)}
}

// between draws a time.
func between(numbers *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(numbers.Int64N(int64(to-from)))
}

// sleep waits, until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
