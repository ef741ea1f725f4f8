package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/console"
	"github.com/poplin-mail/poplin/maildrop/bucket"
)

const (
	pulseFresh    = 5 * time.Second  // an answer as old as this will do; and the least time between two requests
	pulsePatience = 15 * time.Second // with a request that has no good answer, before the store counts as down
	pulseTimeout  = 10 * time.Second // for a request
	pulseWait     = time.Second      // for its reply, by who asks: less than the console waits
)

// pulse tells whether the object store answers. It hears of all calls, and
// makes one of its own only where there were none: so a health check costs a
// busy server nothing, and an idle one a request every few seconds at most,
// however many ask.
type pulse struct {
	ask  func(context.Context) error // makes a call, which heard hears of; set before check is called
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelFunc

	mu       sync.Mutex
	answered time.Time     // when the store last gave a good answer
	waiting  time.Time     // behind that: since when a request has none; zero: there was no request
	asked    time.Time     // when the last request of its own began
	asking   chan struct{} // closed when that one has ended
	outcome  string        // of the last call that was of no use
	err      error         // of the last request of its own
	down     bool          // the log says so
}

// newPulse makes a pulse. The store has time to answer for the first time.
func newPulse(logger *slog.Logger) *pulse {
	p := &pulse{log: logger, answered: time.Now(), asking: make(chan struct{})}
	close(p.asking)
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// heard hears of a call that ended, and how long it took.
func (p *pulse) heard(outcome string, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch outcome {
	case bucket.OutcomeOK, bucket.OutcomeNotFound, bucket.OutcomeNotModified:
		p.answered, p.waiting, p.outcome = time.Now(), time.Time{}, outcome
	case bucket.OutcomeCancelled: // says nothing
	default:
		p.outcome = outcome
		p.wait(time.Now().Add(-took))
	}
}

// wait notes a request that began then and has no good answer. Only such
// requests count: a store that nobody asked is not down. The caller holds mu.
func (p *pulse) wait(began time.Time) {
	if began.Before(p.answered) {
		began = p.answered
	}
	if p.waiting.IsZero() || began.Before(p.waiting) {
		p.waiting = began
	}
}

// check says why the store cannot be used. An error names no address: anybody
// may read it.
func (p *pulse) check(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	stale := now.Sub(p.answered) >= pulseFresh
	if stale && now.Sub(p.asked) >= pulseFresh && ended(p.asking) && p.ctx.Err() == nil {
		p.asked, p.asking = now, make(chan struct{})
		p.wait(now)
		go p.request(p.asking)
	}
	asking := p.asking
	p.mu.Unlock()
	if !stale {
		return p.verdict()
	}
	wait := time.NewTimer(pulseWait)
	defer wait.Stop()
	select {
	case <-asking:
	case <-ctx.Done():
	case <-wait.C:
	}
	return p.verdict()
}

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// request makes a request of its own.
func (p *pulse) request(done chan<- struct{}) {
	defer close(done)
	ctx, cancel := context.WithTimeout(p.ctx, pulseTimeout)
	defer cancel()
	err := p.ask(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// verdict says what is known by now. The log hears of it when it changes.
func (p *pulse) verdict() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var silent time.Duration
	if !p.waiting.IsZero() {
		silent = time.Since(p.waiting)
	}
	down := silent >= pulsePatience
	if down != p.down {
		p.down = down
		if down {
			p.log.Warn("the object store does not answer as it should: the health check fails", "since", silent.Round(time.Second).String(), "error", p.err)
		} else {
			p.log.Info("the object store answers again")
		}
	}
	if !down {
		return nil
	}
	why := "requests fail"
	switch p.outcome {
	case bucket.OutcomeDenied:
		why = "it denies access"
	case bucket.OutcomeTimeout:
		why = "replies do not come in time"
	}
	return fmt.Errorf("the object store has given no good answer for %v: %s", silent.Round(time.Second), why)
}

// close ends a request that is under way.
func (p *pulse) close() {
	p.stop()
	p.mu.Lock()
	asking := p.asking
	p.mu.Unlock()
	<-asking
}

// watched is the observer of the object store that a server serves from.
type watched struct {
	*console.Bucket
	pulse *pulse
}

// Called implements bucket.Observer.
func (w watched) Called(op, outcome string, took time.Duration) {
	w.Bucket.Called(op, outcome, took)
	w.pulse.heard(outcome, took)
}

// openStore makes the store that is served, and for one in an object store the
// pulse that tells whether that answers.
func (d *Daemon) openStore() (err error) {
	if d.cfg.Maildrops.Store != config.Bucket {
		d.store, err = newStore(d.cfg, d.log)
		return err
	}
	p := newPulse(d.log)
	store, err := newBucket(d.cfg, d.log, watched{d.operator.metrics.Bucket(), p})
	if err != nil {
		return err
	}
	p.ask = store.Ping
	d.store, d.operator.pulse = store, p
	return nil
}
