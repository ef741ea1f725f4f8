package bucket_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// hearer is an Observer that writes down what it hears.
type hearer struct {
	mu    sync.Mutex
	heard []string
}

func (h *hearer) note(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, text)
}

// Called implements bucket.Observer.
func (h *hearer) Called(op, outcome string, took time.Duration) {
	if !slices.Contains(bucket.Ops, op) || !slices.Contains(bucket.Outcomes, outcome) {
		h.note("unknown")
	}
	text := op + " " + outcome
	if took > 0 { // of a store in memory, under synctest
		text += " " + took.String()
	}
	h.note(text)
}

// BodyFailed implements bucket.Observer.
func (h *hearer) BodyFailed(why string) { h.note("body " + why) }

// take gives what was heard since the last time.
func (h *hearer) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := strings.Join(h.heard, ", ")
	h.heard = nil
	return all
}

// TestObserver: each call is heard of once, with how it ended.
func TestObserver(t *testing.T) {
	for fault, want := range map[buckettest.Fault]string{
		buckettest.None:        "put ok",
		buckettest.Unavailable: "put error, put ok",
		buckettest.Expired:     "put denied",
		buckettest.Lost:        "put timeout 30s, put ok",
		buckettest.Slow:        "put ok 5s",
	} {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hearer{}
				b := newBox(t, bucket.Options{Observer: h})
				b.begin(first(fault))
				_, err := b.Deliver(t.Context(), user, strings.NewReader(content(1)))
				b.end()
				want := want
				if err == nil {
					want += ", put ok" // of the generation
				} else {
					want += ", delete ok"
				}
				if got := h.take(); got != want {
					t.Errorf("heard is %q, want %q", got, want)
				}
			})
		})
	}
}

// first has the first call meet a fault.
func first(fault buckettest.Fault) faults {
	return func(n int, _ buckettest.Call) buckettest.Fault {
		if n == 1 {
			return fault
		}
		return buckettest.None
	}
}

// TestObserverOfSession: a session is heard of in the order of its calls, as
// are listings that have not changed, and who asks no longer.
func TestObserverOfSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hearer{}
		b := newBox(t, bucket.Options{Observer: h})
		b.fill(1)
		h.take() // of the other node
		if _, err := b.readFirst(b.Store, user); err != nil {
			t.Fatal(err)
		}
		if got := h.take(); got != "put ok, list ok, get ok, delete ok" {
			t.Errorf("of a session heard is %q", got)
		}
		b.begin(first(buckettest.Lost))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := b.Open(ctx, user); err == nil {
			t.Error("Open succeeds when nobody asks any more")
		}
		b.end()
		if got := h.take(); got != "put cancelled 1s, delete ok" {
			t.Errorf("of one that was cancelled heard is %q", got)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	economy(t, func(t *testing.T, b *box) {
		h := &hearer{}
		b.Store = newStore(t, bucket.Options{Engine: b.gateway, Bucket: "mail", Economy: true, Observer: h})
		b.polls()
		b.fill(1)
		m := b.open(b.Store)
		m.Close()
		m = b.open(b.Store)
		m.Close()
		if got := h.take(); got != "get not_found, list ok, get ok, list ok, get not_modified" {
			t.Errorf("of polls heard is %q", got)
		}
	})
}

// TestObserverOfBodies: bodies that break off, and those that are not what was
// stored, in every form.
func TestObserverOfBodies(t *testing.T) {
	for name, opts := range forms {
		for fault, want := range map[buckettest.Fault]string{
			buckettest.None:    "",
			buckettest.Short:   "body cut",
			buckettest.Cut:     "body cut",
			buckettest.Corrupt: "body wrong",
			buckettest.Long:    "body wrong",
		} {
			t.Run(fmt.Sprint(name, ", ", fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &hearer{}
					opts := opts
					opts.Observer = h
					b := newBox(t, opts)
					if _, err := b.Deliver(t.Context(), user, strings.NewReader(strings.Repeat(content(9), 100))); err != nil {
						t.Fatal(err)
					}
					m := b.open(b.Store)
					defer m.Close()
					h.take()
					b.begin(func(n int, c buckettest.Call) buckettest.Fault {
						if n == 1 || fault == buckettest.Long {
							return fault
						}
						return buckettest.None
					})
					_, err := b.read(m, 0)
					b.end()
					if lasting := want == "body wrong"; (err != nil) != lasting {
						t.Errorf("it reads with error %v", err)
					}
					var bodies []string
					for heard := range strings.SplitSeq(h.take(), ", ") {
						if strings.HasPrefix(heard, "body") {
							bodies = append(bodies, heard)
						}
					}
					if got := strings.Join(bodies, ", "); got != want {
						t.Errorf("heard is %q, want %q", got, want)
					}
				})
			})
		}
	}
}

// TestObserverOfLostBody: one whose rest cannot be had is cut, and not wrong.
func TestObserverOfLostBody(t *testing.T) {
	for name, opts := range forms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hearer{}
				opts := opts
				opts.Observer = h
				b := newBox(t, opts)
				if _, err := b.Deliver(t.Context(), user, strings.NewReader(strings.Repeat(content(9), 100))); err != nil {
					t.Fatal(err)
				}
				m := b.open(b.Store)
				defer m.Close()
				h.take()
				b.begin(func(n int, _ buckettest.Call) buckettest.Fault {
					if n == 1 {
						return buckettest.Cut
					}
					return buckettest.Unavailable
				})
				if _, err := b.read(m, 0); err == nil {
					t.Error("it reads")
				}
				b.end()
				if got := h.take(); got != "get ok, body cut, get error, get error" {
					t.Errorf("heard is %q", got)
				}
			})
		})
	}
}

// TestObserverOfStall: a body that gives nothing is cut, and a request without
// a reply within the time-out is one that timed out.
func TestObserverOfStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hearer{}
		b := newBox(t, bucket.Options{})
		if _, err := b.Deliver(t.Context(), user, strings.NewReader(strings.Repeat(content(9), 10))); err != nil {
			t.Fatal(err)
		}
		b.Store = newStore(t, bucket.Options{Engine: &stalling{Engine: b.gateway}, Bucket: "mail", Observer: h})
		m := b.open(b.Store)
		defer m.Close()
		h.take()
		b.begin(first(buckettest.Lost))
		if _, err := b.read(m, 0); err != nil {
			t.Error(err)
		}
		b.end()
		want := "get timeout 30s, get ok, put ok, body cut, get ok" // the lock is renewed meanwhile
		if got := h.take(); got != want {
			t.Errorf("heard is %q, want %q", got, want)
		}
	})
}

// TestPing: one request, and nothing that is kept.
func TestPing(t *testing.T) {
	for fault, works := range map[buckettest.Fault]bool{
		buckettest.None: true, buckettest.Slow: true, buckettest.NoBucket: false, buckettest.Expired: false, buckettest.Unavailable: false, buckettest.Lost: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(t, bucket.Options{Buckets: 4})
			b.begin(first(fault))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := b.Ping(ctx); (err == nil) != works {
				t.Errorf("%v: %v", fault, err)
			}
			if n := b.end(); n != 1 {
				t.Errorf("%v: %d requests", fault, n)
			}
			if keys := b.objects.Keys("mail-00", ""); len(keys) > 0 {
				t.Errorf("%v: there are %q", fault, keys)
			}
		})
	}
}
