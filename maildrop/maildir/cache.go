package maildir

import (
	linked "container/list"
	"sync"
)

// defaultCache is the default of Options.IndexCache: room for a million messages.
const defaultCache = 64 << 20

// entryMemory is about what an entry of a cache takes beside its index.
const entryMemory = 500

// cache keeps the indices of the Maildirs that were opened last, up to a
// number of octets over all of them. It is a cache of files that are caches:
// what it holds is used only while the file and the directories are as they
// were.
type cache struct {
	mu     sync.Mutex
	limit  int
	used   int
	byName map[string]*linked.Element
	order  linked.List // the one used last first

	watches *watches // of Maildirs that leave the cache end
}

// cached is an index in a cache.
type cached struct {
	name string
	x    *index
	w    *watch // since x was made; nil if nothing does
	cost int
}

func newCache(limit int, watches *watches) *cache {
	return &cache{limit: limit, watches: watches, byName: make(map[string]*linked.Element)}
}

// get gives the index of a Maildir, nil if it is not there, and its watch.
func (c *cache) get(name string) (*index, *watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byName[name]
	if e == nil {
		return nil, nil
	}
	c.order.MoveToFront(e)
	n := e.Value.(*cached)
	return n.x, n.w
}

// put keeps the index of a Maildir, and its watch, in place of what it had. It
// tells whether there was room.
func (c *cache) put(name string, x *index, w *watch) bool {
	n := &cached{name, x, w, x.memory() + entryMemory}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byName[name]; e != nil {
		old := e.Value.(*cached)
		if old.x == x && old.w == w {
			return true
		}
		if old.w == w {
			old.w = nil
		}
		c.remove(e)
	}
	if n.cost > c.limit {
		return false
	}
	c.byName[name] = c.order.PushFront(n)
	for c.used += n.cost; c.used > c.limit; {
		c.remove(c.order.Back())
	}
	return true
}

// drop forgets the index of a Maildir.
func (c *cache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byName[name]; e != nil {
		c.remove(e)
	}
}

func (c *cache) remove(e *linked.Element) {
	n := c.order.Remove(e).(*cached)
	delete(c.byName, n.name)
	c.used -= n.cost
	c.watches.end(n.w)
}
