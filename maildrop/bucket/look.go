package bucket

import (
	"context"
	"errors"
	"fmt"
)

// Look is the part of Check that writes nothing: whether the store answers and
// the buckets are there, as many as there were.
func Look(ctx context.Context, opts Options, engines ...Engine) []Finding {
	return newChecker(&opts, engines).look(ctx, &opts)
}

// check is how a Finding comes about.
type check struct {
	what string
	run  func(ctx context.Context) error
}

// look makes the first findings. Behind one that is wrong there is no other:
// each would fail, with the same error.
func (c *checker) look(ctx context.Context, opts *Options) (found []Finding) {
	for _, check := range []check{
		{"the store answers, and takes the credentials", c.answers},
		{"the number of buckets is what it was", func(ctx context.Context) error { return c.count(ctx, opts) }},
		{"all buckets are there", func(ctx context.Context) error { return c.buckets(ctx, Buckets(opts.Bucket, opts.Buckets)) }},
	} {
		err := check.run(ctx)
		found = append(found, Finding{What: check.what, Err: err})
		if err != nil {
			break
		}
	}
	return found
}

// answers asks through each engine for the first bucket. That it is not there
// is an answer too.
func (c *checker) answers(ctx context.Context) error {
	if len(c.engines) == 0 {
		return errors.New("there is no engine to check")
	}
	for i, e := range c.engines {
		err := c.try(ctx, func(ctx context.Context) error {
			_, err := e.List(ctx, c.bucket, c.prefix, "", 1)
			if errors.Is(err, ErrNoBucket) {
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("endpoint %d, bucket %s: %w", i+1, c.bucket, err)
		}
	}
	return nil
}

func (c *checker) buckets(ctx context.Context, names []string) error {
	for _, e := range c.engines {
		for _, name := range names {
			err := c.try(ctx, func(ctx context.Context) error {
				_, err := e.List(ctx, name, c.prefix, "", 1)
				return err
			})
			if err != nil {
				return fmt.Errorf("bucket %s: %w", name, err)
			}
		}
	}
	return nil
}
