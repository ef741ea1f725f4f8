package bucket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Finding is what Check found out about one thing that maildrops need.
type Finding struct {
	What string // "listing shows what was written" and the like
	Err  error  // why maildrops must not be kept there; nil: it is as it must be

	// Unsure says that a request failed before Err was found, and was made
	// again. A store that carried it out late looks as if it were wrong: check
	// it once more.
	Unsure bool
}

// Check tries out whether maildrops may be kept in the buckets of these
// options. It writes below poplin-check/ in the first of them, and removes
// that, with what an earlier one left there that was killed; what stays is the
// note of how many buckets there are. Engines are ways to the same store, such as its gateways: what is
// written through one must be seen through each. Opts.Engine need not be set.
//
// What it finds wrong is wrong; a store that lists late only now and then may
// pass. It ends behind a finding that all others would repeat.
func Check(ctx context.Context, opts Options, engines ...Engine) []Finding {
	c := newChecker(&opts, engines)
	found := c.look(ctx, &opts)
	if found[len(found)-1].Err != nil {
		return found // nothing was written
	}
	defer c.clean(ctx)
	for _, check := range []check{
		{"the number of buckets is noted", func(ctx context.Context) error { return c.noteCount(ctx, &opts) }},
		{"listings show what was written, at once and everywhere", c.listing},
		{"listings are in order and go on behind a key", c.paging},
		{"clocks of the store agree", c.clocks},
		{"objects are read as a whole and in ranges", c.reading},
		{"an object that has not changed is known by its ETag", c.unchanged},
		{"batches are deleted", c.deleting},
	} {
		err := check.run(ctx)
		found = append(found, Finding{check.what, err, err != nil && !lasting(err) && c.failed.Load()})
		if errors.Is(err, ErrDenied) || errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return found
}

// rounds is how often what must be seen at once is looked for.
const rounds = 10

// listing writes and deletes through each engine and lists through each. The
// rounds go side by side, as much does in a store that is used, and since
// nobody is served before they have ended.
func (c *checker) listing(ctx context.Context) error {
	var errs [rounds]error
	var all sync.WaitGroup
	for round := range rounds {
		all.Go(func() {
			for i := range c.engines {
				if errs[round] = c.shown(ctx, i, fmt.Sprintf("l/%d/", round), fmt.Sprint(i)); errs[round] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// shown writes and deletes a key through one engine and lists it through each.
func (c *checker) shown(ctx context.Context, writer int, prefix, name string) (err error) {
	key := prefix + name
	for _, step := range []string{"written", "written again", "deleted"} {
		if step == "deleted" {
			err = c.delete(ctx, c.engines[writer], key)
		} else {
			err = c.put(ctx, c.engines[writer], key, step)
		}
		if err != nil {
			return err
		}
		for j, reader := range c.engines {
			p, keys, err := c.list(ctx, reader, prefix, "", maxList)
			if err != nil {
				return err
			}
			at := slices.Index(keys, key)
			if (at < 0) != (step == "deleted") || at >= 0 && p.Entries[at].Size != int64(len(step)) {
				return fmt.Errorf("what was %s through endpoint %d is not so in a listing through endpoint %d: sessions would meet, and mail would seem to be gone", step, writer+1, j+1)
			}
		}
	}
	return nil
}

func (c *checker) delete(ctx context.Context, e Engine, keys ...string) error {
	return c.deleteBelow(ctx, e, c.prefix, keys)
}

func (c *checker) deleteBelow(ctx context.Context, e Engine, prefix string, keys []string) error {
	full := make([]string, len(keys))
	for i := range keys {
		full[i] = prefix + keys[i]
	}
	return c.try(ctx, func(ctx context.Context) error {
		left, err := e.Delete(ctx, c.bucket, full)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d of %d keys are said to be left, without an error", len(left), len(keys))
		}
		return err
	})
}

// paging lists some keys, such as maildrops have, in pages.
func (c *checker) paging(ctx context.Context) error {
	want := []string{"p/a-.@", "p/a/g", "p/a/k/x", "p/a/m/x", "p/a0", "p/b"}
	for i := len(want) - 1; i >= 0; i-- {
		if err := c.put(ctx, c.engines[0], want[i], "x"); err != nil {
			return err
		}
	}
	for _, e := range c.engines {
		got, err := c.pages(ctx, e, len(want))
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("it shows %q, and there are %q", got, want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pages lists keys two at a time, and not many more than most.
func (c *checker) pages(ctx context.Context, e Engine, most int) (got []string, err error) {
	for after := ""; ; after = got[len(got)-1] {
		p, keys, err := c.list(ctx, e, "p/", after, 2)
		if err != nil {
			return nil, err
		}
		got = append(got, keys...)
		switch {
		case !p.More:
			return got, nil
		case len(keys) == 0 || len(got) > most:
			return nil, fmt.Errorf("it does not end behind %q", got)
		}
	}
}

// clocks compares the time of writing with that of the reply to a listing.
func (c *checker) clocks(ctx context.Context) error {
	for i, writer := range c.engines {
		key := fmt.Sprintf("c/%d", i)
		for j, reader := range c.engines {
			began := time.Now()
			if err := c.put(ctx, writer, key, ""); err != nil {
				return err
			}
			p, keys, err := c.list(ctx, reader, key, "", 1)
			if err != nil {
				return err
			}
			if len(keys) != 1 {
				return fmt.Errorf("%s is not listed", key)
			}
			took := time.Since(began) + time.Second // times are in seconds
			if age := p.Date.Sub(p.Entries[0].Modified); age > took+c.skew || age < -took-c.skew {
				return fmt.Errorf("an object written through endpoint %d is %v old in a listing through endpoint %d, made %v later: locks would end early or late; set the clocks",
					i+1, age, j+1, took.Round(time.Millisecond))
			}
		}
	}
	return nil
}

// reading reads through each engine what was written through the first.
func (c *checker) reading(ctx context.Context) error {
	const text = "0123456789"
	if err := errors.Join(c.put(ctx, c.engines[0], "r", text), c.put(ctx, c.engines[0], "empty", "")); err != nil {
		return err
	}
	for _, e := range c.engines {
		for _, t := range []struct {
			key, want string
			how       How
		}{
			{"r", text, How{}}, {"r", text[3:], How{Offset: 3}}, {"r", text[:4], How{Length: 4}}, {"r", text[2:5], How{Offset: 2, Length: 3}}, {"empty", "", How{}},
		} {
			got, _, size, err := c.get(ctx, e, t.key, t.how)
			whole := int64(len(text))
			if t.key == "empty" {
				whole = 0
			}
			if err != nil {
				return fmt.Errorf("octets from %d on, of %d: %w", t.how.Offset, t.how.Length, err)
			}
			if got != t.want || size != whole {
				return fmt.Errorf("octets from %d on, of %d, are %q of %d; want %q of %d", t.how.Offset, t.how.Length, got, size, t.want, whole)
			}
		}
		if _, _, _, err := c.get(ctx, e, "none", How{}); err == nil {
			return errors.New("an object that is not there is given")
		} else if !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("an object that is not there: %w", err)
		}
	}
	return nil
}

// unchanged looks whether ETags tell one content from another, and are the
// same in listings.
func (c *checker) unchanged(ctx context.Context) error {
	for _, e := range c.engines {
		before := ""
		for _, text := range []string{"one", "two"} {
			if err := c.put(ctx, e, "e", text); err != nil {
				return err
			}
			for _, other := range c.engines {
				_, etag, _, err := c.get(ctx, other, "e", How{Unless: before})
				if err != nil {
					return err
				}
				p, keys, err := c.list(ctx, other, "e", "", 2)
				if err != nil {
					return err
				}
				at := slices.Index(keys, "e")
				if etag == "" || at < 0 || p.Entries[at].ETag != etag {
					return fmt.Errorf("the ETag is %q, and another one in the listing", etag)
				}
				if _, _, _, err := c.get(ctx, other, "e", How{Unless: etag}); err == nil {
					return errors.New("asked for anything but what it is, the store gives it again")
				} else if !errors.Is(err, ErrNotModified) {
					return fmt.Errorf("asked for anything but what it is: %w", err)
				}
				if other == c.engines[len(c.engines)-1] {
					before = etag
				}
			}
		}
	}
	return nil
}

// deleting deletes many at once, and one that is not there.
func (c *checker) deleting(ctx context.Context) error {
	e := c.engines[len(c.engines)-1]
	keys := []string{"d/none"}
	for i := range 20 {
		key := fmt.Sprintf("d/%d", i)
		keys = append(keys, key)
		if err := c.put(ctx, e, key, ""); err != nil {
			return err
		}
	}
	for len(keys) < MaxDelete {
		keys = append(keys, fmt.Sprintf("d/none-%d", len(keys)))
	}
	if err := c.delete(ctx, e, keys...); err != nil {
		return err
	}
	_, left, err := c.list(ctx, e, "d/", "", 5)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%q are still listed", left)
	}
	return err
}
