package trial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// kind is a way to strike. Its function returns when all is mended.
type kind struct {
	name string
	do   func(ctx context.Context, numbers *rand.Rand) error
}

// kinds gives all of them.
func (t *trial) kinds() (all []kind) {
	for _, pieces := range t.Kinds {
		all = append(all, kind{pieces.Kind + " killed", func(ctx context.Context, numbers *rand.Rand) error {
			p := pieces.All[numbers.IntN(len(pieces.All))]
			t.say(p.Name + " is killed")
			p.Kill()
			pause(ctx, within(numbers, t.Away))
			t.say(p.Name + " comes back")
			return p.Start(t.run)
		}})
	}
	if len(t.Nodes) == 0 {
		return all
	}
	return append(all,
		kind{"node killed", t.killAnyTime},
		kind{"node killed before 250", t.killBefore250},
		kind{"node killed before QUIT's +OK", t.killWithinQuit},
		kind{"node stopped past its lease", t.pausePastLease},
		kind{"node stopped within QUIT", t.pauseWithinQuit},
	)
}

// strike strikes as often as it must: each kind in turn, in another order each
// time.
func (t *trial) strike(ctx context.Context) error {
	numbers := random(t.Seed, 0)
	kinds := t.kinds()
	var order []int
	for n := range t.Kills {
		if n%len(kinds) == 0 {
			order = numbers.Perm(len(kinds))
		}
		k := kinds[order[n%len(kinds)]]
		t.say("all is well")
		if pause(ctx, within(numbers, t.Calm)); ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.spans.begin(k.name)
		err := k.do(ctx, numbers)
		t.spans.end()
		if err != nil {
			return fmt.Errorf("strike %d, %s: %w", n+1, k.name, err)
		}
		t.mu.Lock()
		t.struck++
		t.mu.Unlock()
	}
	return nil
}

// named gives a node; one by chance where the greeting named none.
func (t *trial) named(name string, numbers *rand.Rand) Node {
	for _, n := range t.Nodes {
		if n.Name() == name {
			return n
		}
	}
	return t.Nodes[numbers.IntN(len(t.Nodes))]
}

func (t *trial) kill(n Node) {
	t.say(n.Name() + " is killed")
	t.holders.kill(n.Name(), time.Now())
	n.Kill()
}

// again starts a node that was killed.
func (t *trial) again(ctx context.Context, n Node, numbers *rand.Rand) error {
	pause(ctx, within(numbers, t.Away))
	t.say(n.Name() + " comes back")
	return n.Start(t.run)
}

// stop stops a node for longer than a lease stands for others, which is an
// eighth more.
func (t *trial) stop(ctx context.Context, n Node, numbers *rand.Rand) {
	t.say(n.Name() + " is stopped")
	n.Pause()
	pause(ctx, t.Lease+t.Lease/8+time.Second+within(numbers, 2*time.Second))
}

func (t *trial) killAnyTime(ctx context.Context, numbers *rand.Rand) error {
	n := t.named("", numbers)
	t.kill(n)
	return t.again(ctx, n, numbers)
}

// killBefore250 kills a node when it has all of a message, and before the
// reply has been read.
func (t *trial) killBefore250(ctx context.Context, numbers *rand.Rand) error {
	var struck Node
	t.say("a message for a node that will be killed")
	err := t.message(numbers, func(node string) {
		time.Sleep(within(numbers, t.typical.deliveryTime()))
		struck = t.named(node, numbers)
		t.kill(struck)
	})
	if struck != nil {
		if err := t.again(ctx, struck, numbers); err != nil {
			return err
		}
	}
	return err
}

// killWithinQuit kills a node when QUIT was sent, and before its reply has
// been read.
func (t *trial) killWithinQuit(ctx context.Context, numbers *rand.Rand) error {
	s, err := t.marked(ctx, numbers)
	if err != nil {
		return err
	}
	defer s.close()
	n := t.named(s.node, numbers)
	var quit sync.WaitGroup
	quit.Go(func() { s.quit() })
	time.Sleep(within(numbers, t.typical.quitTime()))
	t.kill(n)
	quit.Wait()
	return t.again(ctx, n, numbers)
}

// marked gives a session that has marked messages.
func (t *trial) marked(ctx context.Context, numbers *rand.Rand) (*session, error) {
	t.say("a session on a node that will be struck")
	for {
		s, err := t.enter(ctx, numbers.IntN(len(t.Users)))
		if err != nil {
			return nil, err
		}
		if s.retrieve(ctx, 1+numbers.IntN(10)) == nil && s.mark(func() bool { return true }) == nil && len(s.marked) > 0 {
			return s, nil
		}
		s.close()
		if pause(ctx, t.PollPause); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// pausePastLease stops a node that holds a maildrop for longer than its lease,
// and continues it. Mostly somebody else has the maildrop by then: a QUIT of
// the first session must not be answered +OK.
func (t *trial) pausePastLease(ctx context.Context, numbers *rand.Rand) error {
	s, err := t.marked(ctx, numbers)
	if err != nil {
		return err
	}
	defer s.close()
	n := t.named(s.node, numbers)
	t.stop(ctx, n, numbers)
	var next *session
	if numbers.IntN(4) > 0 {
		t.say("a maildrop of " + n.Name() + " is taken")
		within, cancel := context.WithTimeout(ctx, 2*t.Lease)
		next, _ = t.enter(within, s.user) // where the others are quicker, they have it
		cancel()
	}
	t.say(n.Name() + " goes on")
	n.Continue()
	s.quit()
	if next != nil {
		t.work(ctx, next, numbers)
	}
	return nil
}

// pauseWithinQuit does so while the node removes messages.
func (t *trial) pauseWithinQuit(ctx context.Context, numbers *rand.Rand) error {
	s, err := t.marked(ctx, numbers)
	if err != nil {
		return err
	}
	defer s.close()
	n := t.named(s.node, numbers)
	var quit sync.WaitGroup
	quit.Go(func() { s.quit() })
	time.Sleep(within(numbers, t.typical.quitTime()))
	t.stop(ctx, n, numbers)
	t.say(n.Name() + " goes on")
	n.Continue()
	quit.Wait()
	return nil
}
