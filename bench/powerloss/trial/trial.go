// Package trial runs a real `poplin serve` on a device that remembers every
// write, lets mail come in by LMTP and go out by POP3, and then looks at what
// the disk would hold had the power failed at any moment of that: at each of a
// sample of acknowledgements, and at moments between them. Begin with Run.
//
// What must hold then: a delivery that was acknowledged with 250 is present,
// once and whole, unless a QUIT was sent that removes it. What a QUIT removed
// that was answered +OK is absent; where removed messages are kept aside, it is
// there. Nothing in new/ or cur/ is torn, acknowledged or not. And a server
// that is started on such a disk serves what is there, and takes mail.
package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/bench/powerloss/disk"
)

// Options say how Run works. All but Progress and Enough must be set.
type Options struct {
	Poplin   string        // path of the program
	Dir      string        // folder for files, absolute, empty
	Time     time.Duration // rounds begin until it is over, and there was one of each kind
	Work     time.Duration // how long mail comes in and goes out in a round
	Moments  int           // power failures in a round
	Seed     uint64        // what messages, sizes and moments follow from
	Progress func(Counts)  // called after each round. Nil: it is not

	// Enough is asked after each round whether that was the last. Nil: it is
	// when the time is over.
	Enough func(Counts) bool
}

const (
	// diskSize is small, so that the journal is: it is then full again and
	// again, and what is in it must be written to its place.
	diskSize = 32 << 20

	deliverers = 8
	pollers    = 3
)

// Run holds one round after the other. An error says that it could not go on;
// the Result, which may be there too, says what became of the mail.
func Run(ctx context.Context, opts Options) (*Result, error) {
	empty, err := disk.Format(ctx, opts.Dir, diskSize)
	if err != nil {
		return nil, err
	}
	result := &Result{}
	begun := time.Now()
	for n := 0; n < len(kinds) || time.Since(begun) < opts.Time; n++ {
		r := &round{Options: opts, number: n, kind: kinds[n%len(kinds)], result: result}
		if err := r.run(ctx, empty); err != nil {
			return result, fmt.Errorf("round %d: %w", n+1, err)
		}
		if opts.Progress != nil {
			opts.Progress(result.Counts)
		}
		if opts.Enough != nil && opts.Enough(result.Counts) {
			break
		}
	}
	return result, nil
}

// kind is what a round is like.
type kind struct {
	alone bool // one message or session at a time, so that no sync of another makes up for one that is missing
	undo  bool // removed messages are kept aside
}

var kinds = []kind{{true, false}, {false, true}, {true, true}, {false, false}}

// round is one file system from its making to its ends.
type round struct {
	Options
	kind
	number int
	books  *books

	mu     sync.Mutex
	result *Result
}

// random gives the numbers of one worker.
func (r *round) random(worker int) *rand.Rand {
	return rand.New(rand.NewPCG(r.Seed, uint64(r.number)<<16|uint64(worker)))
}

// run lets everybody work, and then the power fail.
func (r *round) run(ctx context.Context, empty []byte) error {
	log := disk.NewLog(empty)
	r.books = newBooks(log)
	end, err := r.record(ctx, log)
	if err != nil {
		return err
	}
	r.books.count.Rounds = 1
	r.books.count.Flushes = log.Flushes()
	r.books.count.Writes = log.Len() - r.books.count.Flushes
	r.result.add(r.books.count)
	if r.books.refusal != "" {
		r.result.Refusals = append(r.result.Refusals, r.books.refusal)
	}
	return r.replay(ctx, log, end)
}

// record fills the log, and gives the moment up to which it is looked at.
func (r *round) record(ctx context.Context, log *disk.Log) (end int, err error) {
	base := filepath.Join(r.Dir, "record")
	device, mail, conf := filepath.Join(base, "device"), filepath.Join(base, "mail"), filepath.Join(base, "server")
	if err := errors.Join(os.MkdirAll(device, 0o700), os.MkdirAll(mail, 0o700), configure(conf, mail, r.undo)); err != nil {
		return 0, err
	}
	d, err := disk.Open(ctx, log, device)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	file, err := os.OpenFile(d.File(), os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	err = disk.Mount(file, mail, false)
	file.Close()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, disk.Unmount(mail)) }()
	s, err := startServer(ctx, r.Poplin, conf)
	if err != nil {
		return 0, err
	}
	defer s.kill()
	if err := r.load(ctx, s); ctx.Err() != nil {
		return 0, ctx.Err()
	} else if err != nil {
		return 0, s.explain(err)
	}
	return log.Len(), nil
}

// load has mail delivered and retrieved for a time.
func (r *round) load(parent context.Context, s *server) error {
	ctx, cancel := context.WithTimeoutCause(parent, r.Work, errWorked)
	defer cancel()
	var workers sync.WaitGroup
	failures := make(chan error, deliverers+pollers)
	// Each ends after what it was about when the time is over, unless the
	// machine is so slow that hardly anything has happened.
	over := func() bool {
		return ctx.Err() != nil && (context.Cause(ctx) != errWorked || parent.Err() != nil || r.books.shown())
	}
	begin := func(worker int, f func(*rand.Rand) error) {
		workers.Go(func() {
			numbers := r.random(worker)
			for !over() {
				if err := f(numbers); err != nil {
					failures <- err
					cancel()
					return
				}
			}
		})
	}
	deliver := func(c *lmtp) func(*rand.Rand) error {
		return func(numbers *rand.Rand) error { return r.books.deliver(c, numbers) }
	}
	whole, done := context.WithTimeout(context.WithoutCancel(ctx), patience) // sessions are not cut
	defer done()
	poll := func(numbers *rand.Rand) error { return r.books.poll(whole, s, numbers.IntN(users), numbers) }
	count := deliverers
	if r.alone {
		count = 1
	}
	for i := range count {
		c, err := dialLMTP(s)
		if err != nil {
			cancel()
			failures <- err
			break
		}
		defer c.Close()
		if r.alone {
			one := deliver(c)
			begin(i, func(numbers *rand.Rand) error {
				if numbers.IntN(5) == 0 {
					return poll(numbers)
				}
				return one(numbers)
			})
			continue
		}
		begin(i, deliver(c))
	}
	if !r.alone {
		for i := range pollers {
			begin(deliverers+i, poll)
		}
	}
	workers.Wait()
	close(failures)
	if err := <-failures; err != nil {
		return err
	}
	return parent.Err()
}

// errWorked is why work ends.
var errWorked = errors.New("the time is over")
