package directory

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"sync"
	"time"
)

// maxCached bounds the passwords that are remembered to be right.
const maxCached = 10_000

// cache remembers which passwords were right, so that a mail program that
// logs in every few minutes does not cost a hash each time. It holds no
// password but a keyed sum over everything that a check depends on: the
// source, the user, the stored secret and the password. So two users never
// share an entry, and a changed secret has none.
//
// Checks of one sum that come at the same time are computed once.
type cache struct {
	key  *sumKey // of this process
	time time.Duration

	mu      sync.Mutex
	right   map[checkSum]time.Time // until when
	flights map[checkSum]*flight
}

type checkSum [sha256.Size]byte

// flight is a check that is being computed.
type flight struct {
	done  chan struct{}
	right bool
	err   error
	own   bool // err is about who computed, and says nothing to others
}

func newCache(d time.Duration) *cache {
	var key [32]byte
	rand.Read(key[:]) // never fails
	c := &cache{key: newSumKey(key[:]), time: d, right: make(map[checkSum]time.Time), flights: make(map[checkSum]*flight)}
	return c
}

// sum is over the parts with their lengths.
func (c *cache) sum(source int, parts ...string) checkSum { return c.key.sum(uint64(source), parts...) }

// sumKey makes keyed sums.
type sumKey struct {
	pool sync.Pool // of *summer
}

// summer is a hash under the key, with room for what it hashes.
type summer struct {
	mac  hash.Hash
	text []byte
	out  checkSum
}

func newSumKey(key []byte) *sumKey {
	k := &sumKey{}
	k.pool.New = func() any { return &summer{mac: hmac.New(sha256.New, key)} }
	return k
}

// sum is HMAC-SHA256 over a number and texts, each with its length.
func (k *sumKey) sum(number uint64, parts ...string) checkSum {
	s := k.pool.Get().(*summer)
	defer k.pool.Put(s)
	s.text = binary.BigEndian.AppendUint64(s.text[:0], number)
	for _, p := range parts {
		s.text = binary.BigEndian.AppendUint64(s.text, uint64(len(p)))
		s.text = append(s.text, p...)
	}
	s.mac.Reset()
	s.mac.Write(s.text)
	s.mac.Sum(s.out[:0])
	clear(s.text) // there may be a password in it
	return s.out
}

// do reports whether a password is right: it is remembered to be, or compute
// says so. keep has a success remembered.
func (c *cache) do(ctx context.Context, key checkSum, keep bool, compute func() (bool, error)) (bool, error) {
	for {
		c.mu.Lock()
		if until, ok := c.right[key]; ok {
			if time.Now().Before(until) {
				c.mu.Unlock()
				return true, nil
			}
			delete(c.right, key)
		}
		f := c.flights[key]
		if f == nil {
			f = &flight{done: make(chan struct{}), err: errors.New("the check of the password did not end")}
			c.flights[key] = f
			c.mu.Unlock()
			return c.fly(ctx, key, keep, f, compute)
		}
		c.mu.Unlock()
		select {
		case <-f.done:
			if !f.own {
				return f.right, f.err
			}
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// fly computes, for all who wait for it too.
func (c *cache) fly(ctx context.Context, key checkSum, keep bool, f *flight, compute func() (bool, error)) (bool, error) {
	defer func() { // also where compute panics
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.flights, key)
		close(f.done)
		if f.err == nil && f.right && keep && c.time > 0 {
			c.remember(key)
		}
	}()
	right, err := compute()
	f.own = err != nil && (ctx.Err() != nil || errors.Is(err, errBusy))
	f.right, f.err = right, err
	return right, err
}

// remember adds an entry. Where there is no room, any one goes.
func (c *cache) remember(key checkSum) {
	for old := range c.right {
		if len(c.right) < maxCached {
			break
		}
		delete(c.right, old)
	}
	c.right[key] = time.Now().Add(c.time)
}
