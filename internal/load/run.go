package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to do.
type Config struct {
	Target      *Target // resolved
	Users       []User  // each in one session at a time
	Work        Work
	Connections int           // at a time; at most as many as users
	Duration    time.Duration // that is measured
	Pipeline    bool          // Top, Retrieve, Drain: without waiting for replies
	Ramp        int           // connections opened a second until all are there
	Warm        time.Duration // how long to work uncounted then; Drain and Idle do not
	Noop        time.Duration // Idle: how often each connection says NOOP

	// Server gives what the server has used; nil: unknown.
	Server func() (Usage, error)

	// Progress is called every Every from one goroutine; nil: not.
	Progress func(Progress)
	Every    time.Duration
}

// run is what the connections share.
type run struct {
	Config
	tally
	arrived sync.WaitGroup // Idle: connections that have logged in, or failed to
	closing atomic.Bool    // the time is over: sessions are to end
	leave   chan struct{}  // Idle: closed when the time is over
	asking  chan struct{}  // Idle: bounds how many say NOOP at the end at once
}

// grace is how long sessions have to end with QUIT when the time is over. Those
// that are cut hold their maildrops until the server finds out, which the next
// run would meet.
const grace = 5 * time.Second

// maxAsking is how many idle connections are asked at a time, at the end,
// whether they still stand.
const maxAsking = 64

// Run puts the load on. It ends after the duration, for Drain when every
// maildrop was drained, if that is sooner, or when ctx does, with what there
// is until then.
func Run(ctx context.Context, config Config) (*Result, error) {
	r := &run{Config: config, leave: make(chan struct{}), asking: make(chan struct{}, maxAsking)}
	working, cancel := context.WithCancel(ctx)
	done := make(chan struct{}) // all workers have ended
	started := make(chan struct{})
	var err error
	switch r.Work {
	case Drain: // what is drained before it counts would be lost to the figures
		err = r.count()
	case Idle:
		r.empty, err = r.memory()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	go r.start(working, started, done)
	defer func() { cancel(); <-done }()
	defer r.watch()()
	<-started
	if r.Work != Drain {
		if r.Work == Idle {
			r.arrived.Wait()
		} else {
			wait(ctx, r.Warm, done)
		}
		if err := r.count(); err != nil {
			return nil, err
		}
	}
	wait(ctx, r.Duration, done)
	if r.Work == Idle && ctx.Err() == nil {
		if r.full, err = r.memory(); err != nil {
			return nil, err
		}
		close(r.leave)
		<-done
	}
	result, err := r.end(ctx)
	r.closing.Store(true)
	wait(ctx, grace, done)
	return result, err
}

// wait waits for that long, or until something ends before.
func wait(ctx context.Context, d time.Duration, done <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-done:
	}
}

// start starts the workers, no more of them a second than Ramp. It closes
// started when it has, and done when all have ended.
func (r *run) start(ctx context.Context, started, done chan<- struct{}) {
	defer close(done)
	var workers sync.WaitGroup
	pace := time.NewTicker(time.Second / time.Duration(r.Ramp))
	defer pace.Stop()
	if r.Work == Idle {
		r.arrived.Add(r.Connections)
	}
	for i := range r.Connections {
		if i > 0 {
			select {
			case <-pace.C:
			case <-ctx.Done():
			}
		}
		workers.Go(func() {
			if r.Work == Idle {
				r.idle(ctx, r.Users[i])
			} else {
				r.work(ctx, i)
			}
		})
	}
	close(started)
	workers.Wait()
}

// work runs session after session for its share of the users: a maildrop takes
// one at a time.
func (r *run) work(ctx context.Context, i int) {
	failed := 0
	for n := i; ctx.Err() == nil && !r.closing.Load(); n += r.Connections {
		if n >= len(r.Users) {
			if r.Work == Drain {
				return
			}
			n = i
		}
		err := r.once(ctx, r.Users[n])
		if ctx.Err() != nil || r.closing.Load() {
			return // Run has ended it
		}
		if err == nil {
			failed = 0
			continue
		}
		r.failures.add(err)
		failed++
		pause(ctx, failed)
	}
}

// pause waits after so many failures on end, up to a second: a server that
// refuses everything is not to be asked as fast as it can refuse.
func pause(ctx context.Context, failed int) {
	wait(ctx, min(10*time.Millisecond<<min(failed, 7), time.Second), nil)
}

// idle holds one connection, and says NOOP now and then.
func (r *run) idle(ctx context.Context, u User) {
	s, done, err := r.open(ctx, u)
	if err != nil && ctx.Err() == nil {
		r.failures.add(err)
	}
	if err == nil {
		r.opened.Add(1)
		r.live.Add(1)
		defer done()
	}
	r.arrived.Done()
	if err != nil {
		return
	}
	// The first one comes at any time, so that not all come at once.
	next := time.NewTimer(rand.N(r.Noop))
	defer next.Stop()
	for last := false; !last; next.Reset(r.Noop) {
		select {
		case <-next.C:
		case <-r.leave:
			r.asking <- struct{}{}
			defer func() { <-r.asking }()
			last = true
		case <-ctx.Done():
			return
		}
		begun := time.Now()
		if err := s.c.Noop(uncancelled); err != nil {
			if ctx.Err() == nil {
				r.live.Add(-1)
				r.failures.add(err)
			}
			return
		}
		if r.counting.Load() {
			r.noop.add(time.Since(begun))
		}
	}
	if err := s.c.Quit(uncancelled); err != nil {
		r.failures.add(err)
	}
}
