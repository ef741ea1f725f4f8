package pop3server

import (
	"context"
	"fmt"
	"runtime/debug"
)

// maxIdleWorkers is how many workers wait for work at most. More come when
// there is more to do, and end with it.
const maxIdleWorkers = 32

// workers are goroutines for what takes a large stack: a TLS handshake needs
// some 32 KiB of it. A session that did that itself would grow its own by
// copying it again and again, and keep it while it idles.
type workers struct {
	jobs chan job      // not buffered: who sends has a worker
	idle chan struct{} // holds one for each worker that waits
	end  context.Context
}

type job struct {
	run  func() error
	done chan error
}

func newWorkers(end context.Context) *workers {
	return &workers{jobs: make(chan job), idle: make(chan struct{}, maxIdleWorkers), end: end}
}

// do runs f on the stack of a worker and waits for it. A panic in f is one of
// the caller.
func (w *workers) do(f func() error) error {
	j := job{run: f, done: make(chan error, 1)}
	select {
	case w.jobs <- j:
	default:
		go w.work(j)
	}
	err := <-j.done
	if p, ok := err.(*workerPanic); ok {
		panic(p)
	}
	return err
}

// work does a job, and more of them as long as few others wait for one.
func (w *workers) work(j job) {
	for {
		j.done <- j.try()
		select {
		case w.idle <- struct{}{}:
		default:
			return
		}
		select {
		case j = <-w.jobs:
			<-w.idle
		case <-w.end.Done():
			<-w.idle
			return
		}
	}
}

// workerPanic is a panic on the stack of a worker.
type workerPanic struct {
	value any
	stack []byte
}

func (p *workerPanic) Error() string { return fmt.Sprintf("%v\n%s", p.value, p.stack) }

func (j job) try() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &workerPanic{v, debug.Stack()}
		}
	}()
	return j.run()
}
