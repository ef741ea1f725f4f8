// Package figures measures nodes over a cluster that nobody disturbs: polls
// with one node and more, deliveries, and how much of the store's own speed a
// long message has on its way through Poplin. Begin with Run.
package figures

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/bench/ceph/cluster"
	"github.com/poplin-mail/poplin/internal/load"
)

// Options say what Run measures. All must be set.
type Options struct {
	Cluster *cluster.Cluster // with Direct; its nodes are not started
	Users   []string         // the last one gets the long message
	Each    time.Duration    // how long a measurement lasts

	Print func(line string) // gets each line of the results
}

const (
	size     = 10_000     // octets of a message
	longSize = 10_000_000 // of the long one
	each     = 20         // messages of each user
	rounds   = 31         // of the long one
)

// sessions are how many are polled with, and deliver, at a time.
var sessions = []int{1, 16}

// turns is how often each number of nodes is measured, one after the other, so
// that what else the machine does meanwhile troubles all alike. Figures are
// medians of these.
const turns = 3

// Run starts the nodes, and measures.
func Run(ctx context.Context, opts Options) error {
	polled := opts.Users[:len(opts.Users)-1]
	nodes := opts.Cluster.Nodes
	if err := opts.Cluster.StartNodes(ctx); err != nil {
		return err
	}
	pause(ctx, 3*time.Second) // until HAProxy knows
	if err := fill(ctx, opts, polled); err != nil {
		return err
	}
	for _, at := range sessions {
		all := make([][]poll, len(nodes))
		for range turns {
			for n := range nodes {
				p, err := opts.polls(ctx, n+1, polled, at)
				if err != nil {
					return err
				}
				all[n] = append(all[n], p)
			}
		}
		for n := range nodes {
			opts.Print(fmt.Sprintf("polls, nodes %d, sessions at a time %2d: %v", n+1, at, medianOf(all[n])))
		}
	}
	for _, at := range sessions {
		if err := opts.deliveries(ctx, polled, at); err != nil {
			return err
		}
	}
	return opts.long(ctx, opts.Users[len(polled)])
}

// fill delivers what the polls list.
func fill(ctx context.Context, opts Options, users []string) error {
	errs := make(chan error, len(users))
	room := make(chan struct{}, 8)
	for _, user := range users {
		go func() {
			room <- struct{}{}
			defer func() { <-room }()
			var err error
			for i := 0; i < each && err == nil; i++ {
				err = deliver(ctx, opts.Cluster.LMTP(), user, message(size))
			}
			errs <- err
		}()
	}
	for range users {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// poll is what came of polls.
type poll struct {
	rate            float64 // sessions a second
	p50, p99        float64 // of a session, in milliseconds
	requests, store float64 // of the store in a session, and milliseconds that they took
}

func (p poll) String() string {
	s := fmt.Sprintf("%6.1f a second, p50 %6.1f ms, p99 %6.1f ms; ", p.rate, p.p50, p.p99)
	if p.requests == 0 {
		return s + "the nodes do not count requests of the store"
	}
	return s + fmt.Sprintf("%.1f requests of the store a session, %.1f ms", p.requests, p.store)
}

// medianOf gives the median of each figure.
func medianOf(all []poll) poll {
	of := func(figure func(poll) float64) float64 {
		var each []float64
		for _, p := range all {
			each = append(each, figure(p))
		}
		slices.Sort(each)
		return each[len(each)/2]
	}
	return poll{of(func(p poll) float64 { return p.rate }), of(func(p poll) float64 { return p.p50 }), of(func(p poll) float64 { return p.p99 }),
		of(func(p poll) float64 { return p.requests }), of(func(p poll) float64 { return p.store })}
}

// polls polls some of the nodes, with a number of sessions at a time.
func (o Options) polls(ctx context.Context, nodes int, users []string, at int) (poll, error) {
	fail := func(err error) (poll, error) { return poll{}, err }
	if err := o.Cluster.Use(nodes); err != nil {
		return fail(err)
	}
	target := &load.Target{Addr: o.Cluster.POP3(), TLS: load.None, Mechanism: load.MechanismUser, Timeout: time.Minute}
	if err := target.Resolve(ctx); err != nil {
		return fail(err)
	}
	var all []load.User
	for _, name := range users {
		all = append(all, load.User{Name: name, Password: cluster.Password})
	}
	before, err := asked(ctx, o.Cluster.Nodes[:nodes])
	if err != nil {
		return fail(err)
	}
	r, err := load.Run(ctx, load.Config{Target: target, Users: all, Work: load.Poll, Connections: at, Duration: o.Each / turns, Warm: time.Second, Ramp: 500})
	if err != nil {
		return fail(err)
	}
	after, err := asked(ctx, o.Cluster.Nodes[:nodes])
	if err != nil {
		return fail(err)
	}
	if len(r.Failures) > 0 {
		return fail(fmt.Errorf("%d of %d polls failed: %v", r.Failed, r.Operations, r.Failures))
	}
	// All sessions count here, the first and the last ones too.
	total := max(1, after.sessions-before.sessions)
	return poll{r.OperationsPerSecond, r.Latency.Session.P50, r.Latency.Session.P99,
		(after.requests - before.requests) / total, 1000 * (after.time - before.time) / total}, nil
}

// deliveries delivers on a number of connections at a time.
func (o Options) deliveries(ctx context.Context, users []string, at int) error {
	ctx, cancel := context.WithTimeout(ctx, o.Each)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	var failure error
	var work sync.WaitGroup
	begun := time.Now()
	for range at {
		work.Go(func() {
			err := o.deliverAll(ctx, users, func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil && ctx.Err() == nil {
				failure = err
			}
		})
	}
	work.Wait()
	if failure != nil || len(took) == 0 {
		return fmt.Errorf("deliveries: %d came to their end: %w", len(took), failure)
	}
	o.Print(fmt.Sprintf("deliveries of %d octets, at a time %2d: %6.1f a second, p50 %6.1f ms, p99 %6.1f ms", size, at,
		float64(len(took))/time.Since(begun).Seconds(), ms(quantile(took, .5)), ms(quantile(took, .99))))
	return nil
}

// deliverAll delivers on one connection until ctx ends.
func (o Options) deliverAll(ctx context.Context, users []string, done func(time.Duration)) error {
	c, err := dialLMTP(ctx, o.Cluster.LMTP())
	if err != nil {
		return err
	}
	defer c.Close()
	text := message(size)
	for ctx.Err() == nil {
		begun := time.Now()
		if err := c.send(users[rand.IntN(len(users))], text); err != nil {
			return err
		}
		done(time.Since(begun))
	}
	return nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// quantile gives the smallest of all that so many of them do not exceed.
func quantile(all []time.Duration, of float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(of*float64(len(sorted))))]
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
