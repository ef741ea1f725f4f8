// Package rounds kills a real `poplin serve` with SIGKILL at random moments
// while mail comes in by LMTP and goes out by POP3, starts it again, and keeps
// books on every copy of every message. Begin with Run.
//
// What must hold: a delivery that was acknowledged with 250 is present, once
// and whole and in every listing, until a QUIT that was answered +OK removes
// it. One that was not acknowledged is absent, or present once and whole where
// the kill fell between the link and the reply. Nothing goes without a QUIT.
//
// What a killed process wrote the kernel keeps: a missing fsync is not found
// here.
package rounds

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Options say how Run works. Poplin, Dir and Kills must be set.
type Options struct {
	Poplin string // path of the program
	Dir    string // folder for files, absolute, which stays
	Kills  int
	Seed   uint64

	// Longest is the longest time between the start of serving and the kill;
	// 0: 300 ms. The shortest is a 30th of it.
	Longest time.Duration

	// Progress is called after each round. Nil: it is not.
	Progress func(Counts)
}

const (
	maildrops  = 8
	deliverers = 32
	pollers    = maildrops // one each: a second session would only find it in use

	// auditEvery is how many rounds pass between two audits, and backlog how
	// many copies make it sooner: maildrops that grow without end would leave
	// the pollers no time to finish.
	auditEvery = 200
	backlog    = 2000

	// One round of so many begins with a server that is killed while it
	// starts, at most so long after.
	earlyEvery = 8
	starting   = 40 * time.Millisecond

	// patience bounds whatever is waited for: far more than it takes on a slow
	// machine.
	patience = 3 * time.Minute
)

// pauses of deliverers, of which each round has one: without any they leave
// the pollers little of the disk, and few reach QUIT.
var pauses = []time.Duration{1, 30 * time.Millisecond, 100 * time.Millisecond}

// Run kills the server as often as asked for. An error says that it could not
// go on; the Result, which may be there too, says what became of the mail.
func Run(ctx context.Context, opts Options) (*Result, error) {
	if opts.Longest <= 0 {
		opts.Longest = 300 * time.Millisecond
	}
	r := &run{Options: opts, books: newBooks(), random: random(opts.Seed, 0, 0)}
	if err := configure(opts.Dir); err != nil {
		return nil, err
	}
	for r.kills < opts.Kills {
		if err := r.round(ctx); err != nil {
			return r.result(), err
		}
		if opts.Progress != nil {
			opts.Progress(r.counts())
		}
	}
	s, err := startServer(ctx, opts.Poplin, opts.Dir)
	if err != nil {
		return r.result(), err
	}
	defer s.kill()
	if err := r.audit(ctx, s); err != nil {
		return r.result(), fmt.Errorf("the last audit: %w%s", err, s.lastOfLog())
	}
	return r.result(), nil
}

// run is a Run that goes on.
type run struct {
	Options
	books  *books
	random *rand.Rand
	kills  int
	early  int // kills of servers that started
	since  int // rounds since the last audit
	tmp    int // files that kills left in tmp/
}

// random gives the numbers of one worker in one round.
func random(seed uint64, round, worker int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(round)<<16|uint64(worker)))
}

// round starts the server, lets everybody work, and kills it.
func (r *run) round(ctx context.Context) error {
	if r.random.IntN(earlyEvery) == 0 {
		r.early++
		if err := killStarting(r.Poplin, r.Dir, time.Duration(r.random.Int64N(int64(starting)))); err != nil {
			return err
		}
	}
	s, err := startServer(ctx, r.Poplin, r.Dir)
	if err != nil {
		return err
	}
	defer s.kill()
	fail := func(err error) error { return fmt.Errorf("round %d: %w%s", r.kills+1, err, s.lastOfLog()) }
	if r.since >= auditEvery || r.books.backlog() >= backlog {
		if err := r.audit(ctx, s); err != nil {
			return fail(fmt.Errorf("audit: %w", err))
		}
	}
	shortest := r.Longest / 30
	moment := time.After(shortest + time.Duration(r.random.Int64N(int64(r.Longest-shortest))))
	var work sync.WaitGroup
	var once sync.Once
	var failure error
	failed := make(chan struct{})
	begin := func(worker int, f func(*rand.Rand) error) {
		numbers := random(r.Seed, r.kills+1, worker)
		work.Go(func() {
			// Errors after the kill are what is wanted.
			if err := f(numbers); err != nil && !s.killed.Load() {
				once.Do(func() {
					failure = err
					close(failed)
				})
			}
		})
	}
	pause := pauses[r.random.IntN(len(pauses))]
	for i := range deliverers {
		begin(1+i, func(numbers *rand.Rand) error { return r.books.deliver(s, pause, numbers) })
	}
	for i := range pollers {
		begin(1+deliverers+i, func(numbers *rand.Rand) error { return r.books.poll(ctx, s, i, numbers) })
	}
	select {
	case <-moment:
	case <-failed:
	case <-s.done:
	case <-ctx.Done():
	}
	byItself := s.ended()
	s.kill()
	work.Wait()
	r.kills++
	r.since++
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case byItself:
		return fail(fmt.Errorf("the server ended by itself: %v", s.cmd.ProcessState))
	case failure != nil:
		return fail(failure)
	}
	return nil
}

// audit empties all maildrops, of which nobody but the server makes use now,
// and closes the books on what was delivered until now.
func (r *run) audit(ctx context.Context, s *server) error {
	errs := make([]error, maildrops)
	var work sync.WaitGroup
	for i := range maildrops {
		work.Go(func() { errs[i] = r.books.drain(ctx, s, i) })
	}
	work.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("maildrop %s: %w", userName(i), err)
		}
	}
	r.since = 0
	for i := range maildrops {
		if err := r.inspect(i); err != nil {
			return err
		}
	}
	return nil
}

// inspect looks for files in a maildrop that was emptied, and takes what kills
// left in tmp/ out of it: the server does that after 36 hours, too late for
// this disk.
func (r *run) inspect(user int) error {
	var strays []string
	for _, sub := range []string{".", "new", "cur", "tmp"} {
		dir := filepath.Join(maildropDir(r.Dir, user), sub)
		names, err := os.ReadDir(dir)
		if os.IsNotExist(err) {
			continue // nobody has delivered there yet
		} else if err != nil {
			return err
		}
		for _, name := range names {
			switch {
			case sub == "tmp":
				r.tmp++
				if err := os.Remove(filepath.Join(dir, name.Name())); err != nil {
					return err
				}
			case sub != "." || !belongs[name.Name()]:
				strays = append(strays, filepath.Join(dir, name.Name()))
			}
		}
	}
	r.books.leftBehind(strays)
	return nil
}

// belongs says what an empty maildrop may hold.
var belongs = map[string]bool{
	"new": true, "cur": true, "tmp": true,
	"poplin.lock": true, "poplin.index": true, "poplin.index.tmp": true, "maildirsize": true,
}

func (r *run) counts() Counts {
	c := r.books.counted()
	c.Kills, c.EarlyKills, c.Tmp = r.kills, r.early, r.tmp
	return c
}

func (r *run) result() *Result {
	counts := r.counts()
	r.books.mu.Lock()
	defer r.books.mu.Unlock()
	return &Result{Counts: counts, Faults: slices.Clone(r.books.faults)}
}
