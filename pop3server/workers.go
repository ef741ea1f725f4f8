package pop3server

import (
	"context"
	"time"
)

// Workers without work.
const (
	maxIdleWorkers = 32          // as many wait at most: more come when there is more to do, and end with it
	workerIdle     = time.Second // they wait no longer
)

// workers are goroutines that serve sessions one after another, on stacks that
// have grown already: a new goroutine's would be copied again and again until a
// TLS handshake or a login fits. A session that falls silent leaves its worker.
type workers struct {
	jobs chan func()   // not buffered: who sends has a worker
	idle chan struct{} // holds one for each worker that waits
	end  context.Context
}

func newWorkers(end context.Context) *workers {
	return &workers{jobs: make(chan func()), idle: make(chan struct{}, maxIdleWorkers), end: end}
}

// run has a worker call f.
func (w *workers) run(f func()) {
	select {
	case w.jobs <- f:
	default:
		go w.work(f)
	}
}

// work calls f, and more of them as long as few others wait for one.
func (w *workers) work(f func()) {
	timer := time.NewTimer(workerIdle)
	defer timer.Stop()
	for f != nil {
		f()
		select {
		case w.idle <- struct{}{}:
		default:
			return
		}
		timer.Reset(workerIdle)
		select {
		case f = <-w.jobs:
		case <-timer.C:
			f = nil
		case <-w.end.Done():
			f = nil
		}
		<-w.idle
	}
}
