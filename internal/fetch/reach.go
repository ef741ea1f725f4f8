package fetch

import (
	"context"
	"slices"
	"sync"
)

// reach tries the connections of the targets that are to get messages, before
// any is retrieved: what none can take is not, to be thrown away. It gives what
// is left.
func (r *run) reach(ctx context.Context, all []order) ([]order, error) {
	trying, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(r.Targets))
	var work sync.WaitGroup
	for i, t := range r.Targets {
		if breaks(t) && slices.ContainsFunc(all, func(o order) bool { return slices.Contains(o.to, i) }) {
			work.Go(func() { errs[i] = connect(trying, t) })
		}
	}
	done := make(chan struct{})
	go func() {
		work.Wait()
		close(done)
	}()
	err := r.wait(ctx, done)
	cancel()
	<-done
	if err != nil {
		return nil, err
	}
	for i, err := range errs {
		if err != nil {
			r.fall(i, err)
		}
	}
	return wanted(all, func(i int) bool { return r.down[i] != nil }), nil
}

// wanted leaves out targets that are down, and what no other wants.
func wanted(all []order, down func(i int) bool) []order {
	return slices.DeleteFunc(all, func(o order) bool {
		return !slices.ContainsFunc(o.to, func(i int) bool { return !down(i) })
	})
}
