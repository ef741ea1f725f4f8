package bucket

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// cacheAge is how long a remembered listing is used: lifecycle rules of the
// store remove messages and change no generation.
const cacheAge = 6 * time.Hour

// cache remembers listings of maildrops by the generation that they had, those
// used last.
type cache struct {
	mu      sync.Mutex // nothing waits under it
	most    int        // messages
	holds   int        // messages
	order   list.List  // of *remembered, the one used last in front
	entries map[string]*list.Element
}

// remembered is a listing that lacks nothing that was delivered up to the
// generation in it.
type remembered struct {
	name    string
	at      time.Time
	listing *listing
}

func (c *cache) get(name string, now time.Time) *remembered {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[name]
	if e == nil {
		return nil
	}
	r := e.Value.(*remembered)
	if age := now.Sub(r.at); age > cacheAge || age < 0 {
		c.drop(e)
		return nil
	}
	c.order.MoveToFront(e)
	return r
}

func (c *cache) set(r *remembered) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[r.name]; e != nil {
		c.drop(e)
	}
	if c.entries == nil {
		c.entries = make(map[string]*list.Element)
	}
	c.entries[r.name] = c.order.PushFront(r)
	c.holds += r.cost()
	for c.holds > c.most {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	r := c.order.Remove(e).(*remembered)
	delete(c.entries, r.name)
	c.holds -= r.cost()
}

// cost counts an empty maildrop too.
func (r *remembered) cost() int { return len(r.listing.all) + 1 }

// remembered gives the listing of a maildrop that is not locked. Whoever
// delivers changes the generation before the delivery counts. So a listing in
// which the generation is the one that was read before lacks nothing that was
// delivered before.
func (s *Store) remembered(ctx context.Context, p place) (*listing, error) {
	known := s.cache.get(p.name, s.now())
	unless := ""
	if known != nil {
		unless = known.listing.etag
	}
	for range tries {
		etag, err := s.generation(ctx, p, unless)
		switch {
		case errors.Is(err, ErrNotModified) && known != nil:
			return known.listing, nil
		case err != nil && !errors.Is(err, ErrNotFound):
			return nil, err
		}
		if known == nil || known.listing.etag != etag {
			at := s.now()
			l, err := s.look(ctx, p, "")
			if err != nil {
				return nil, err
			}
			l.locks, l.strays = nil, nil
			known = &remembered{p.name, at, l}
		}
		if known.listing.etag == etag {
			if etag != "" {
				s.cache.set(known)
			}
			return known.listing, nil
		}
	}
	return nil, temporary("cannot list "+p.prefix, errors.New("it changes all the time, or the store does not list what was written: then it cannot be used for maildrops"))
}

// generation gives the ETag of a maildrop's generation, empty where there is
// none. The store computes it from the content, which is another each time.
func (s *Store) generation(ctx context.Context, p place, unless string) (etag string, err error) {
	err = s.try(ctx, "cannot read the generation of "+p.name, func(ctx context.Context) error {
		o, err := s.engine.Get(ctx, p.bucket, p.prefix+generation, How{Unless: unless})
		if err != nil {
			return err
		}
		o.Body.Close()
		if unless != "" && o.ETag == unless {
			return fmt.Errorf("generation of %s: %w", p.name, ErrNotModified) // If-None-Match was not understood
		}
		etag = o.ETag
		return nil
	})
	return etag, err
}
