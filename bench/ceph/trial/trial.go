// Package trial keeps mail coming in by LMTP and going out by POP3, over any
// number of nodes that share a store, while pieces of the whole are killed and
// stopped, and keeps books on every copy of every message. Begin with Run.
//
// What must hold: a delivery that was acknowledged with 250 is there, whole
// and in every listing, until a QUIT is sent that has it removed. Nothing goes
// that no client marked. No two sessions hold a maildrop within a lease. A
// message that was not acknowledged may be there, and come twice when it is
// sent again.
package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Options say how Run works. All must be set that do not say otherwise.
type Options struct {
	LMTP, POP3 string // addresses
	Users      []string
	Password   string // of all users
	Lease      time.Duration
	Nodes      []Node   // their names stand in their greetings
	Kinds      []Pieces // that are killed, other than nodes; may be empty
	Seed       uint64

	Kills int           // how often something is killed or stopped
	Time  time.Duration // how long it lasts at least
	Least int           // how many deliveries, and how many sessions, end well at least

	Deliverers    int           // at the same time
	Pollers       int           // of each maildrop: they are in each other's way
	DeliveryPause time.Duration // between messages, on average
	PollPause     time.Duration // between sessions, on average

	Calm time.Duration // all is well for so long between two strikes, at most
	Away time.Duration // so long a piece that was killed is away, at most

	// Economy says that a login takes no lock: double holders are not looked
	// for.
	Economy bool

	// Patience bounds how long something may take: 0 means three minutes.
	Patience time.Duration

	// Leftovers gives the keys of the store that hold messages of a user, to
	// be looked at when his maildrop is empty. Nil: nobody looks.
	Leftovers func(ctx context.Context, user string) ([]string, error)

	// Progress is told what is under way. Nil: nobody is.
	Progress func(what string, counts Counts)
}

// Node is a server, which can be killed and started, or stopped and continued.
type Node interface {
	Name() string
	Kill()
	Start(context.Context) error
	Pause()
	Continue()
}

// Pieces are pieces of one kind.
type Pieces struct {
	Kind string
	All  []Piece
}

// Piece is a part of the store. Start returns when all is as before.
type Piece struct {
	Name  string
	Kill  func()
	Start func(context.Context) error
}

// trial is a Run that goes on.
type trial struct {
	Options
	run     context.Context // of Run: when it ends everybody drops everything
	books   *books
	holders *holders
	spans   *spans
	typical typical
	struck  int

	mu   sync.Mutex
	what string // is under way
}

// Run keeps mail moving until it has killed as often as it was told to. An
// error says that it could not go on; the Result, which may be there too, says
// what became of the mail.
func Run(ctx context.Context, opts Options) (*Result, error) {
	if opts.Patience == 0 {
		opts.Patience = 3 * time.Minute
	}
	t := &trial{Options: opts, run: ctx, books: newBooks(opts.Seed, opts.Users), holders: newHolders(opts.Lease, opts.Users), spans: newSpans()}
	if opts.Economy {
		t.holders.lease = 0
	}
	stop := t.report()
	defer stop()
	if err := t.load(ctx); err != nil {
		return t.result(), err
	}
	t.say("the last audit")
	if err := t.audit(ctx); err != nil {
		return t.result(), fmt.Errorf("the last audit: %w", err)
	}
	return t.result(), nil
}

// every is how often it is told what is under way.
const every = 5 * time.Second

// report tells it, until the function is called that it gives.
func (t *trial) report() (stop func()) {
	done := make(chan struct{})
	var worker sync.WaitGroup
	worker.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				t.mu.Lock()
				what := t.what
				t.mu.Unlock()
				if t.Progress != nil {
					t.Progress(what, t.counts())
				}
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		worker.Wait()
	}
}

// say notes what is under way.
func (t *trial) say(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.what = what
}

// random gives the numbers of one worker.
func random(seed uint64, worker int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(worker))) }

// within gives a time from 0 on, shorter than most.
func within(numbers *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(numbers.Int64N(max(1, int64(most))))
}

// load has everybody work while pieces are killed.
func (t *trial) load(ctx context.Context) error {
	working, end := context.WithCancelCause(ctx)
	defer end(nil)
	var work sync.WaitGroup
	begin := func(worker int, f func(*rand.Rand) error) {
		work.Go(func() {
			if err := f(random(t.Seed, worker)); err != nil {
				end(err)
			}
		})
	}
	for i := range t.Deliverers {
		begin(1+i, func(numbers *rand.Rand) error { return t.deliver(working, numbers) })
	}
	for i := range t.Pollers * len(t.Users) {
		begin(1+t.Deliverers+i, func(numbers *rand.Rand) error { t.poll(working, i%len(t.Users), numbers); return nil })
	}
	begun := time.Now()
	err := t.strike(working)
	if err == nil {
		t.say("nothing is struck any more")
		pause(working, t.Time-time.Since(begun))
		for c := t.books.counted(); min(c.Acknowledged, c.Sessions) < t.Least && working.Err() == nil; c = t.books.counted() {
			pause(working, 10*time.Millisecond)
		}
		err = context.Cause(working)
	}
	end(nil)
	t.say("the last messages and sessions")
	work.Wait()
	return errors.Join(err, ctx.Err())
}

// audit empties all maildrops, of which nobody else makes use now, and closes
// the books.
func (t *trial) audit(ctx context.Context) error {
	errs := make([]error, len(t.Users))
	var work sync.WaitGroup
	for i := range t.Users {
		work.Go(func() {
			if err := t.drain(ctx, i); err != nil {
				errs[i] = fmt.Errorf("maildrop %s: %w", t.Users[i], err)
			}
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

// drain empties a maildrop.
func (t *trial) drain(ctx context.Context, user int) error {
	var err error
	for range 5 {
		if err = t.drainOnce(ctx, user); err == nil || ctx.Err() != nil {
			break
		}
		pause(ctx, time.Second)
	}
	if err != nil || t.Leftovers == nil {
		return err
	}
	keys, err := t.Leftovers(ctx, t.Users[user])
	t.books.leftBehind(user, keys)
	return err
}

func (t *trial) drainOnce(ctx context.Context, user int) error {
	s, err := t.enter(ctx, user)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.retrieve(ctx, -1); err != nil {
		return err
	}
	if s.refused > 0 {
		return fmt.Errorf("%d messages are listed and cannot be retrieved", s.refused)
	}
	t.books.settle(user, s.uids)
	if err := s.mark(func() bool { return true }); err != nil {
		return err
	}
	return s.quit()
}

func (t *trial) counts() Counts {
	c := t.books.counted()
	t.mu.Lock()
	c.Strikes = t.struck
	t.mu.Unlock()
	double, vague := t.holders.found()
	c.Double, c.Vague = len(double), vague
	return c
}

func (t *trial) result() *Result {
	counts := t.counts()
	double, _ := t.holders.found()
	t.books.mu.Lock()
	defer t.books.mu.Unlock()
	return &Result{Counts: counts, Spans: t.spans.all(), Notes: slices.Clone(t.books.notes),
		Faults: slices.Concat(t.books.faults, double[:min(len(double), maxTold)])}
}
