package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var (
	_ maildrop.Store       = (*Store)(nil)
	_ maildrop.Distributor = (*Store)(nil)
	_ maildrop.Undeleter   = (*Store)(nil)
)

// Options says where maildrops are and how they are kept. Engine and Bucket
// must be set; the zero value of every other field is the safe choice. All
// nodes over one store need the same Bucket, Buckets, Lease and Keys.
type Options struct {
	Engine Engine

	// Bucket is the bucket of all maildrops, or with Buckets what the names
	// of the buckets begin with.
	Bucket string

	// Buckets, from 2 to 256, spreads maildrops over that many buckets, named
	// Bucket-00, Bucket-01 and so on in hexadecimal. It can never be changed:
	// maildrops would be looked for where they are not. 0 and 1 are one.
	Buckets int

	// Economy has a login without RETR, TOP and removals cost one request in
	// the place of three: the listing is remembered and asked for again only
	// where messages came or went, and the session lock is taken by the first
	// RETR or TOP, or by the removal behind QUIT. Then that says that the
	// maildrop is in use, and not the login.
	Economy bool

	// Lease is for how long a session lock stands when its node dies. Nodes
	// renew theirs three times in that time. An eighth of it is how far the
	// clocks of the machines of the store may differ. 0 means DefaultLease.
	Lease time.Duration

	// Timeout bounds a request, and how long a body may give nothing. 0 means
	// DefaultTimeout.
	Timeout time.Duration

	// Compress stores messages packed by zstd. Packed ones are read whatever
	// Compress says.
	Compress bool

	// Keys encrypt messages before they leave this process. New messages are
	// sealed with the first key, and those sealed with any are read. None
	// means no encryption; messages that are not encrypted are always read.
	Keys []Key

	// CacheMessages is of how many messages listings are remembered. 0 means
	// DefaultCacheMessages.
	CacheMessages int

	// TempDir is where messages of more than 1 MiB wait for their delivery,
	// in files that have no name. Empty means os.TempDir.
	TempDir string

	// Logger hears of faults that no client sees. Nil discards them.
	Logger *slog.Logger

	// Observer hears how calls of the Engine go. Nil means nobody.
	Observer Observer
}

// What zero options mean.
const (
	DefaultLease         = 2 * time.Minute
	DefaultTimeout       = 30 * time.Second
	DefaultCacheMessages = 200_000 // some 40 MB

	minLease = 8 * time.Second // below that, the seconds in which stores count would decide
)

// Store serves maildrops in an object store. Make it with New.
type Store struct {
	engine  Engine
	bucket  string
	buckets int
	economy bool
	lease   time.Duration
	timeout time.Duration
	pack    bool
	keys    []sealKey
	temp    string
	log     *slog.Logger
	watch   Observer
	now     func() time.Time // time.Now, but in tests
	jitter  func(time.Duration) time.Duration
	uids    uids
	zstd    zstdPools
	cache   cache
	closed  atomic.Bool

	mu   sync.Mutex // for held; nothing waits under it
	held map[string]bool
}

// New makes a Store. The error says what is wrong with the options; nothing is
// asked of the object store.
func New(opts Options) (*Store, error) {
	switch {
	case opts.Engine == nil:
		return nil, errors.New("bucket: Options.Engine is not set")
	case opts.Bucket == "":
		return nil, errors.New("bucket: Options.Bucket is empty: name the bucket of the maildrops")
	case opts.Buckets < 0 || opts.Buckets > 256:
		return nil, fmt.Errorf("bucket: %d buckets: there can be 1 to 256", opts.Buckets)
	case opts.Lease < 0 || opts.Lease > 0 && opts.Lease < minLease:
		return nil, fmt.Errorf("bucket: a lease of %v: it must be %v or more", opts.Lease, minLease)
	case opts.Timeout < 0 || opts.CacheMessages < 0:
		return nil, errors.New("bucket: a time-out or a number of remembered messages is below zero")
	}
	s := &Store{
		engine:  opts.Engine,
		bucket:  opts.Bucket,
		buckets: max(opts.Buckets, 1),
		economy: opts.Economy,
		lease:   orDefault(opts.Lease, DefaultLease),
		timeout: orDefault(opts.Timeout, DefaultTimeout),
		pack:    opts.Compress,
		temp:    opts.TempDir,
		log:     opts.Logger,
		watch:   nobody{},
		now:     time.Now,
		jitter:  rand.N[time.Duration],
		held:    make(map[string]bool),
	}
	s.cache.most = orDefault(opts.CacheMessages, DefaultCacheMessages)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.temp == "" {
		s.temp = os.TempDir()
	}
	if opts.Observer != nil {
		s.engine, s.watch = observed{s.engine, opts.Observer}, opts.Observer
	}
	for _, key := range opts.Keys {
		s.keys = append(s.keys, newSealKey(key))
	}
	return s, nil
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Close makes every later Open and delivery fail, and closes an Engine that is
// an io.Closer. Maildrops that are open stay so.
func (s *Store) Close() error {
	s.closed.Store(true)
	if c, ok := s.engine.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// errClosed answers a call that came after Close.
var errClosed = errors.New("bucket: closed")

// pingKey is a key that no object has.
const pingKey = "poplin-ping"

// Ping makes one request, of the cheapest kind, and says whether the store
// answers as it should.
func (s *Store) Ping(ctx context.Context) error {
	o, err := s.engine.Get(ctx, Buckets(s.bucket, s.buckets)[0], pingKey, How{})
	if err == nil {
		o.Body.Close()
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// begin checks what every operation on a maildrop starts with, and gives the
// place of the maildrop.
func (s *Store) begin(ctx context.Context, name string) (place, error) {
	if err := ctx.Err(); err != nil {
		return place{}, err
	}
	if s.closed.Load() {
		return place{}, errClosed
	}
	return s.locate(name)
}

// tries is how often a request is made that fails.
const tries = 3

// Between tries the Store waits this long, and then four times as long, and up
// to half of it more, so that nodes do not come back together.
const pause = 100 * time.Millisecond

// try makes a request until it succeeds, within the time-out each time. What
// fails for good is not tried again. The error wraps maildrop.ErrTemporary,
// unless it is that of ctx.
func (s *Store) try(ctx context.Context, what string, request func(ctx context.Context) error) error {
	wait := pause
	for n := 1; ; n++ {
		err := s.once(ctx, request)
		var last *final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &last):
			return last.error
		case ctx.Err() != nil:
			return ctx.Err()
		case n == tries || lasting(err):
			return temporary(what, err)
		}
		if err := sleep(ctx, wait+s.jitter(wait/2)); err != nil {
			return err
		}
		wait *= 4
	}
}

// lasting tells whether an error of an Engine stays when the request is made
// again.
func lasting(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotModified) || errors.Is(err, ErrDenied)
}

// final is an error of a request that ends try.
type final struct{ error }

func (s *Store) once(ctx context.Context, request func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return request(ctx)
}

// sleep waits, until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// put stores a small object in a maildrop.
func (s *Store) put(ctx context.Context, p place, key string, content []byte) error {
	return s.try(ctx, "cannot write "+p.prefix+key, func(ctx context.Context) error {
		return s.engine.Put(ctx, p.bucket, p.prefix+key, bytes.NewReader(content), int64(len(content)))
	})
}

// remove deletes objects of a maildrop, as far as it can. Check is asked
// before each request.
func (s *Store) remove(ctx context.Context, p place, keys []string, check func() error) error {
	var errs []error
	for batch := range slices.Chunk(keys, MaxDelete) {
		left := make([]string, len(batch))
		for i, key := range batch {
			left[i] = p.prefix + key
		}
		what := fmt.Sprintf("cannot remove %d objects of %s", len(batch), p.prefix)
		err := s.try(ctx, what, func(ctx context.Context) error {
			if err := check(); err != nil {
				return &final{err}
			}
			remaining, err := s.engine.Delete(ctx, p.bucket, left)
			if err != nil {
				left = remaining
			}
			return err
		})
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// forget deletes objects of which nobody must know any more, behind an
// operation that failed: it is not stopped by the end of ctx, and nobody hears
// of its errors but the log.
func (s *Store) forget(ctx context.Context, p place, keys ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*s.timeout+tries*pause) // one reply may stay out
	defer cancel()
	if err := s.remove(ctx, p, keys, always); err != nil {
		s.log.Warn("object was not removed", "maildrop", p.name, "error", err)
	}
}

func always() error { return nil }

// touch changes the generation of a maildrop: listings that nodes remember are
// no longer right. Each try writes another one. One that was written twice
// would bring an old generation back, and with it listings that lack what came
// in between.
func (s *Store) touch(ctx context.Context, p place) error {
	return s.try(ctx, "cannot write "+p.prefix+generation, func(ctx context.Context) error {
		text := nonce()
		return s.engine.Put(ctx, p.bucket, p.prefix+generation, strings.NewReader(text), int64(len(text)))
	})
}

// temporary makes an error that wraps maildrop.ErrTemporary.
func temporary(what string, err error) error {
	return fmt.Errorf("bucket: %s: %w: %w", what, err, maildrop.ErrTemporary)
}

// permanent makes an error that wraps maildrop.ErrPermanent.
func permanent(what string, err error) error {
	return fmt.Errorf("bucket: %s: %w: %w", what, err, maildrop.ErrPermanent)
}
