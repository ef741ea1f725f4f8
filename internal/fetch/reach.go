package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"

	"github.com/poplin-mail/poplin/internal/fetch/target"
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

// passes tells whether a target that is down may be there in a later run with
// nobody doing anything.
func passes(down error) bool {
	var known *Trouble
	var unnamed *net.DNSError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(down, &known):
		return known.Temporary
	case errors.As(down, &untrusted):
		return false
	case errors.As(down, &unnamed):
		return !unnamed.IsNotFound
	}
	return !target.Lasts(down)
}

// TroubleOf says what kind of trouble keeps somebody from a password.
func TroubleOf(err error) error { return trouble(err) }

// wanted leaves out targets that are down, and what no other wants.
func wanted(all []order, down func(i int) bool) []order {
	return slices.DeleteFunc(all, func(o order) bool {
		return !slices.ContainsFunc(o.to, func(i int) bool { return !down(i) })
	})
}
