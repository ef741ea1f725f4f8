package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// countKey is the key of the object that says over how many buckets maildrops
// are spread.
const countKey = "poplin-buckets"

// LookAtCount is the part of Look for somebody who is about to make buckets:
// the error says that maildrops are spread over another number of them.
func LookAtCount(ctx context.Context, opts Options, e Engine) error {
	return newChecker(&opts, []Engine{e}).count(ctx, &opts)
}

// count compares the number of buckets with that of the first check. With
// another, a part of the maildrops would look empty, and clients would forget
// what they have. The first of several buckets has another name than the only
// one, so the note is looked for under both.
func (c *checker) count(ctx context.Context, opts *Options) error {
	names := []string{c.bucket}
	if other := otherFirst(opts); mayBe(other) {
		names = append(names, other)
	}
	buckets := strconv.Itoa(max(opts.Buckets, 1))
	for i, name := range names {
		noted, found, err := c.note(ctx, name)
		switch {
		case i > 0 && errors.Is(err, ErrDenied): // it is somebody else's
		case err != nil:
			return fmt.Errorf("bucket %s: %w", name, err)
		case found && noted != buckets:
			return fmt.Errorf("maildrops were spread over %.9q buckets, and now buckets is %s: part of them would look empty; set it back, or where no mail is there yet, remove the object %s from bucket %s", noted, buckets, countKey, name)
		case i == 0:
			c.noted = found
		}
	}
	return nil
}

// note reads the note in a bucket. That it is not there, or the bucket, is an
// answer too, and not asked for again.
func (c *checker) note(ctx context.Context, bucket string) (noted string, found bool, err error) {
	err = c.try(ctx, func(ctx context.Context) error {
		o, err := c.engines[0].Get(ctx, bucket, countKey, How{})
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoBucket) {
			return nil
		}
		if err != nil {
			return err
		}
		defer o.Body.Close()
		all, err := io.ReadAll(io.LimitReader(o.Body, 64))
		noted, found = string(all), true
		return err
	})
	return noted, found, err
}

// otherFirst gives the name that the first bucket has with several, where there
// is one, and with one, where there are several.
func otherFirst(opts *Options) string {
	if opts.Buckets > 1 {
		return opts.Bucket
	}
	return bucketName(opts.Bucket, 0, 2)
}

// mayBe tells whether a store can have a bucket of that name: to ask for one
// that it cannot is an error, and not that there is none.
func mayBe(name string) bool {
	return len(name) >= 3 && len(name) <= 63 && !strings.ContainsAny(name[len(name)-1:], "-._")
}

// noteCount leaves the note where there is none.
func (c *checker) noteCount(ctx context.Context, opts *Options) error {
	if c.noted {
		return nil
	}
	at := *c
	at.prefix = ""
	return at.put(ctx, c.engines[0], countKey, strconv.Itoa(max(opts.Buckets, 1)))
}
