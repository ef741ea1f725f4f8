package bucket

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// checker writes and reads objects of its own.
type checker struct {
	prefix, bucket string
	engines        []Engine
	skew, timeout  time.Duration
	failed         *atomic.Bool // a request did, and may be carried out still
	noted          bool         // the number of buckets is
}

func newChecker(opts *Options, engines []Engine) *checker {
	return &checker{
		prefix: checks + nonce() + "/", bucket: Buckets(opts.Bucket, opts.Buckets)[0], engines: engines,
		skew: orDefault(opts.Lease, DefaultLease) / 8, timeout: orDefault(opts.Timeout, DefaultTimeout),
		failed: new(atomic.Bool),
	}
}

// try makes a request as a Store does: a fault that passes says nothing
// against a store.
func (c *checker) try(ctx context.Context, request func(ctx context.Context) error) (err error) {
	for n := range tries {
		if n > 0 {
			if err := sleep(ctx, pause<<(2*n)); err != nil {
				return err
			}
		}
		limited, cancel := context.WithTimeout(ctx, c.timeout)
		err = request(limited)
		if err != nil && limited.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("there is no reply within %v: %w", c.timeout, err)
		}
		cancel()
		if err == nil || lasting(err) {
			return err
		}
		c.failed.Store(true)
	}
	return err
}

func (c *checker) put(ctx context.Context, e Engine, key, content string) error {
	return c.try(ctx, func(ctx context.Context) error {
		return e.Put(ctx, c.bucket, c.prefix+key, strings.NewReader(content), int64(len(content)))
	})
}

func (c *checker) get(ctx context.Context, e Engine, key string, how How) (content, etag string, size int64, err error) {
	err = c.try(ctx, func(ctx context.Context) error {
		o, err := e.Get(ctx, c.bucket, c.prefix+key, how)
		if err != nil {
			return err
		}
		defer o.Body.Close()
		all, err := io.ReadAll(io.LimitReader(o.Body, 1<<20))
		content, etag, size = string(all), o.ETag, o.Size
		return err
	})
	return content, etag, size, err
}

func (c *checker) list(ctx context.Context, e Engine, part, after string, most int) (p *Page, keys []string, err error) {
	if after != "" {
		after = c.prefix + after
	}
	err = c.try(ctx, func(ctx context.Context) (err error) {
		p, err = e.List(ctx, c.bucket, c.prefix+part, after, most)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	keys = make([]string, len(p.Entries))
	for i := range keys {
		keys[i] = strings.TrimPrefix(p.Entries[i].Key, c.prefix)
	}
	return p, keys, nil
}

// checks is what the keys of checks begin with.
const checks = "poplin-check/"

// abandoned is the age from which on objects of a check are those of one that
// died.
const abandoned = time.Hour

// hurry bounds clean where somebody waits for the end.
const hurry = 3 * time.Second

// clean removes what was written, here and by those that died.
func (c *checker) clean(ctx context.Context) {
	most := 2 * c.timeout
	if ctx.Err() != nil {
		most = min(most, hurry)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	if len(c.engines) == 0 {
		return
	}
	for _, prefix := range []string{c.prefix, checks} {
		var keys []string
		err := c.try(ctx, func(ctx context.Context) error {
			p, err := c.engines[0].List(ctx, c.bucket, prefix, "", maxList)
			if err != nil {
				return err
			}
			keys = nil
			for _, e := range p.Entries {
				if prefix == c.prefix || p.Date.Sub(e.Modified) > abandoned {
					keys = append(keys, strings.TrimPrefix(e.Key, prefix))
				}
			}
			return nil
		})
		if err == nil && len(keys) > 0 {
			_ = c.deleteBelow(ctx, c.engines[0], prefix, keys) // what stays is harmless
		}
	}
}
