package bucket

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// Observer hears how the calls go that a Store makes of its Engine, for
// metrics. Its methods are called by many goroutines at once and must not wait.
type Observer interface {
	// Called hears of a call that has ended, the first and every further try
	// alike; of one that gets an object, when the body begins. Op is one of
	// Ops, outcome one of Outcomes.
	Called(op, outcome string, took time.Duration)

	// BodyFailed hears of a body that failed behind its beginning. Why is one
	// of Failures.
	BodyFailed(why string)
}

// Ops are the calls of an Engine.
var Ops = []string{opPut, opGet, opList, opDelete}

const (
	opPut    = "put"
	opGet    = "get"
	opList   = "list"
	opDelete = "delete"
)

// Outcomes are how calls end.
var Outcomes = []string{OutcomeOK, OutcomeNotFound, OutcomeNotModified, OutcomeDenied, OutcomeTimeout, OutcomeCancelled, OutcomeError}

// How calls end.
const (
	OutcomeOK          = "ok"
	OutcomeNotFound    = "not_found"
	OutcomeNotModified = "not_modified"
	OutcomeDenied      = "denied"
	OutcomeTimeout     = "timeout"   // no reply within Options.Timeout
	OutcomeCancelled   = "cancelled" // who asked is gone
	OutcomeError       = "error"     // any other: the log says what
)

// Failures are what becomes of bodies.
var Failures = []string{failureCut, failureWrong}

const (
	failureCut   = "cut"   // it broke off, and the rest is asked for again
	failureWrong = "wrong" // it is not what was stored, and no client gets it for the whole message
)

// outcome tells how a call with that context ended.
func outcome(ctx context.Context, err error) string {
	var network net.Error
	switch {
	case err == nil:
		return OutcomeOK
	case errors.Is(err, ErrNotFound):
		return OutcomeNotFound
	case errors.Is(err, ErrNotModified):
		return OutcomeNotModified
	case errors.Is(err, ErrDenied):
		return OutcomeDenied
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return OutcomeTimeout
	case ctx.Err() != nil:
		return OutcomeCancelled
	case errors.As(err, &network) && network.Timeout():
		return OutcomeTimeout
	}
	return OutcomeError
}

// observed is an Engine whose calls an Observer hears of.
type observed struct {
	Engine
	observer Observer
}

func (o observed) heard(ctx context.Context, op string, began time.Time, err error) {
	o.observer.Called(op, outcome(ctx, err), time.Since(began))
}

// Put implements Engine.
func (o observed) Put(ctx context.Context, bucket, key string, body io.ReadSeeker, size int64) error {
	began := time.Now()
	err := o.Engine.Put(ctx, bucket, key, body, size)
	o.heard(ctx, opPut, began, err)
	return err
}

// Get implements Engine.
func (o observed) Get(ctx context.Context, bucket, key string, how How) (*Object, error) {
	began := time.Now()
	object, err := o.Engine.Get(ctx, bucket, key, how)
	o.heard(ctx, opGet, began, err)
	return object, err
}

// List implements Engine.
func (o observed) List(ctx context.Context, bucket, prefix, after string, most int) (*Page, error) {
	began := time.Now()
	page, err := o.Engine.List(ctx, bucket, prefix, after, most)
	o.heard(ctx, opList, began, err)
	return page, err
}

// Delete implements Engine.
func (o observed) Delete(ctx context.Context, bucket string, keys []string) (left []string, err error) {
	began := time.Now()
	left, err = o.Engine.Delete(ctx, bucket, keys)
	o.heard(ctx, opDelete, began, err)
	return left, err
}

// Close closes an Engine that is an io.Closer.
func (o observed) Close() error {
	if c, ok := o.Engine.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// nobody is the Observer where there is none.
type nobody struct{}

func (nobody) Called(string, string, time.Duration) {}
func (nobody) BodyFailed(string)                    {}
