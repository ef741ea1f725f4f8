package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
)

// A store of which a piece has just died answers again soon, and one that
// starts with this machine too. What is wrong with a store otherwise is so
// still then. It is less than a successor has to get ready.
const (
	startPatience = 45 * time.Second // behind it a store that is down is not asked again
	startPause    = 2 * time.Second  // between the end of a try and the next
	startTimeout  = 10 * time.Second
)

// reachTime is how long an endpoint is waited for that mail does not go
// through.
const reachTime = 5 * time.Second

// CheckStore is for a server that starts: the error says why it must not keep
// maildrops in the store of the configuration. One that is down is asked again
// for a while, and each try is logged. Mail goes through the first endpoint;
// one of the others that cannot be reached is logged and left out. A nil logger
// discards.
func CheckStore(ctx context.Context, cfg *config.Config, logger *slog.Logger) error {
	return withStoreCheck(cfg, logger, func(c *storeCheck) error { return patiently(ctx, c.log, c.run) })
}

// TryStore is CheckStore for a command: it does not wait for a store that is
// down, for somebody sits before it.
func TryStore(ctx context.Context, cfg *config.Config, logger *slog.Logger) error {
	return withStoreCheck(cfg, logger, func(c *storeCheck) error { return c.run(ctx) })
}

// LookAtStore is the part of TryStore that writes nothing.
func LookAtStore(ctx context.Context, cfg *config.Config) error {
	return withStoreCheck(cfg, nil, func(c *storeCheck) error { return unusable(bucket.Look(ctx, c.opts, c.engines[0])) })
}

// withStoreCheck does something with the object store of a configuration, if
// it has one.
func withStoreCheck(cfg *config.Config, logger *slog.Logger, do func(*storeCheck) error) error {
	if cfg.Maildrops.Store != config.Bucket {
		return nil
	}
	c, err := newStoreCheck(cfg, logger)
	if err != nil {
		return err
	}
	defer c.close()
	return do(c)
}

// passing is an error that waiting may mend.
type passing struct{ error }

// Unwrap gives the error.
func (p passing) Unwrap() error { return p.error }

// patiently tries until there is no error, or one that is not passing.
func patiently(ctx context.Context, logger *slog.Logger, try func(context.Context) error) error {
	began := time.Now()
	for n := 1; ; n++ {
		err := try(ctx)
		if err != nil && ctx.Err() != nil {
			return ctx.Err() // what failed did so for that
		}
		if !errors.As(err, new(passing)) || time.Since(began)+startPause > startPatience {
			return err
		}
		logger.Warn("the object store cannot be used: trying again", "try", n, "patience", startPatience, "error", err)
		timer := time.NewTimer(startPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// storeCheck tries out the object store of a configuration.
type storeCheck struct {
	opts      bucket.Options
	endpoints []string
	engines   []*s3.Engine
	log       *slog.Logger
}

func newStoreCheck(cfg *config.Config, logger *slog.Logger) (*storeCheck, error) {
	opts, engines, err := openBucket(cfg)
	if err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &storeCheck{opts, cfg.Maildrops.Bucket.Endpoints, engines, logger}, nil
}

func (c *storeCheck) close() {
	for _, e := range c.engines {
		e.Close()
	}
}

// run tries the store out once.
func (c *storeCheck) run(ctx context.Context) error {
	// A store that does not answer is found out before anything of it is asked
	// that may take its time.
	if err := reach(ctx, &c.opts, c.engines[0], startTimeout); err != nil {
		return unusable([]bucket.Finding{{What: "the store answers", Err: err}})
	}
	all := []bucket.Engine{c.engines[0]}
	for i, e := range c.engines[1:] {
		if err := reach(ctx, &c.opts, e, reachTime); err != nil {
			c.log.Warn("endpoint of the object store cannot be reached, and was not tried out", "endpoint", c.endpoints[i+1], "error", err)
			continue
		}
		all = append(all, e)
	}
	return unusable(bucket.Check(ctx, c.opts, all...))
}

// unusable makes an error of the first finding that is wrong.
func unusable(found []bucket.Finding) error {
	for _, f := range found {
		if f.Err != nil {
			more := advice(f.Err)
			if more == "" {
				more = "`poplin bucket check` says more"
			}
			err := fmt.Errorf("maildrops.bucket: the store cannot be used: it is not so that %s: %w (%s)", f.What, f.Err, more)
			if s3.Down(f.Err) || f.Unsure {
				err = passing{err}
			}
			return err
		}
	}
	return nil
}

// reach says why an endpoint cannot be reached. Nil: it answers, whatever the
// answer is, and can.
func reach(ctx context.Context, opts *bucket.Options, e *s3.Engine, patience time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := e.List(limited, bucket.Buckets(opts.Bucket, opts.Buckets)[0], "poplin-check/", "", 1)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("there is no reply within %v: %w", patience, err)
	}
	if s3.Down(err) {
		return err
	}
	return nil
}
