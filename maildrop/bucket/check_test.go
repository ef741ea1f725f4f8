package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// broken is an engine with one thing wrong.
type broken struct {
	bucket.Engine
	put  func(ctx context.Context, e bucket.Engine, key string, body io.ReadSeeker, size int64) error
	get  func(o *bucket.Object, how bucket.How)
	ask  func(how *bucket.How)
	list func(p *bucket.Page, after string)
	keys func(keys []string) []string
}

func (b *broken) Put(ctx context.Context, name, key string, body io.ReadSeeker, size int64) error {
	if b.put != nil {
		return b.put(ctx, b.Engine, key, body, size)
	}
	return b.Engine.Put(ctx, name, key, body, size)
}

func (b *broken) Get(ctx context.Context, name, key string, how bucket.How) (*bucket.Object, error) {
	asked := how
	if b.ask != nil {
		b.ask(&asked)
	}
	o, err := b.Engine.Get(ctx, name, key, asked)
	if err == nil && b.get != nil {
		b.get(o, how)
	}
	return o, err
}

func (b *broken) List(ctx context.Context, name, prefix, after string, most int) (*bucket.Page, error) {
	p, err := b.Engine.List(ctx, name, prefix, after, most)
	if err == nil && b.list != nil {
		b.list(p, after)
	}
	return p, err
}

func (b *broken) Delete(ctx context.Context, name string, keys []string) ([]string, error) {
	if b.keys != nil {
		keys = b.keys(keys)
	}
	return b.Engine.Delete(ctx, name, keys)
}

// TestCheck: a store that does what maildrops need passes; one with anything
// wrong does not, and the finding says what.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(b *broken, g *buckettest.Gateway)
		words string // of the finding; empty: it passes
	}{
		"right":           {func(*broken, *buckettest.Gateway) {}, ""},
		"a clock near by": {func(_ *broken, g *buckettest.Gateway) { g.Skew = 10 * time.Second }, ""},
		"faults that pass": {func(_ *broken, g *buckettest.Gateway) {
			var mu sync.Mutex
			calls := map[string]int{} // of the same kind: no try fails twice
			g.Fault = func(c buckettest.Call) buckettest.Fault {
				mu.Lock()
				defer mu.Unlock()
				same := c.Op + c.Key + strings.Join(c.Keys, " ")
				calls[same]++
				return []buckettest.Fault{buckettest.None, buckettest.Unavailable, buckettest.None, buckettest.Reset}[calls[same]%4]
			}
		}, ""},
		"a clock ahead":     {func(_ *broken, g *buckettest.Gateway) { g.Skew = time.Minute }, "clocks"},
		"a clock behind":    {func(_ *broken, g *buckettest.Gateway) { g.Skew = -time.Minute }, "clocks"},
		"bucket is missing": {faulty(buckettest.NoBucket), "buckets"},
		"denied":            {faulty(buckettest.Expired), "the store answers, and takes the credentials: endpoint 2, bucket mail-00: "},
		"no reply":          {faulty(buckettest.Lost), "the store answers, and takes the credentials: endpoint 2, bucket mail-00: there is no reply within 30s"},
		"lists late":        {faulty(buckettest.Stale), "at once"},
		"lists late elsewhere": {func(b *broken, _ *buckettest.Gateway) {
			var n atomic.Int64
			var once sync.Once
			b.list = func(p *bucket.Page, _ string) {
				if n.Add(1) > 10 && len(p.Entries) > 0 {
					once.Do(func() { p.Entries = nil })
				}
			}
		}, "at once"},
		"no order": {func(b *broken, _ *buckettest.Gateway) {
			b.list = func(p *bucket.Page, after string) {
				if len(p.Entries) == 2 {
					p.Entries[0], p.Entries[1] = p.Entries[1], p.Entries[0]
				}
			}
		}, "order"},
		"pages end early":  {func(b *broken, _ *buckettest.Gateway) { b.list = func(p *bucket.Page, _ string) { p.More = false } }, "order"},
		"pages do not end": {func(b *broken, _ *buckettest.Gateway) { b.list = func(p *bucket.Page, _ string) { p.More = true } }, "order"},
		"no ranges":        {func(b *broken, _ *buckettest.Gateway) { b.ask = func(how *bucket.How) { how.Offset = 0 } }, "ranges"},
		"other sizes": {func(b *broken, _ *buckettest.Gateway) {
			b.get = func(o *bucket.Object, how bucket.How) { o.Size -= how.Offset }
		}, "ranges"},
		"If-None-Match is not known": {func(b *broken, _ *buckettest.Gateway) { b.ask = func(how *bucket.How) { how.Unless = "" } }, "ETag"},
		"ETags with quotes": {func(b *broken, _ *buckettest.Gateway) {
			b.get = func(o *bucket.Object, _ bucket.How) { o.ETag = `"` + o.ETag + `"` }
		}, "ETag"},
		"batches of 500": {func(b *broken, _ *buckettest.Gateway) {
			b.keys = func(keys []string) []string { return keys[max(0, len(keys)-500):] }
		}, "batches"},
		"batches fail": {faultyDelete(), "batches"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				objects := &buckettest.Store{}
				gateway := &buckettest.Gateway{Store: objects}
				second := &broken{Engine: gateway}
				c.spoil(second, gateway)
				var wrong []string
				for _, f := range bucket.Check(t.Context(), bucket.Options{Bucket: "mail", Buckets: 3}, &buckettest.Gateway{Store: objects}, second) {
					if f.Err != nil {
						wrong = append(wrong, f.What+": "+f.Err.Error())
					}
				}
				if c.words == "" && len(wrong) > 0 || c.words != "" && (len(wrong) == 0 || !strings.Contains(wrong[0], c.words)) {
					t.Errorf("found wrong: %q, want %q", wrong, c.words)
				}
				if c.words == "" {
					for _, name := range bucket.Buckets("mail", 3) {
						if keys := objects.Keys(name, ""); len(keys) > 0 && !slices.Equal(keys, []string{"poplin-buckets"}) {
							t.Errorf("%q are left in %s", keys, name)
						}
					}
				}
			})
		})
	}
	if found := bucket.Check(t.Context(), bucket.Options{Bucket: "mail"}); len(found) != 1 || found[0].Err == nil {
		t.Errorf("without an engine: %v", found)
	}
}

// TestCheckEnds: what all findings would say is said once.
func TestCheckEnds(t *testing.T) {
	for f, calls := range map[buckettest.Fault]int{buckettest.Expired: 1, buckettest.Lost: 3} {
		synctest.Test(t, func(t *testing.T) {
			engine := &buckettest.Gateway{Store: &buckettest.Store{}, Fault: func(buckettest.Call) buckettest.Fault { return f }}
			found := bucket.Check(t.Context(), bucket.Options{Bucket: "mail", Buckets: 3}, engine)
			if len(found) != 1 || engine.Calls() != calls {
				t.Errorf("%v: %d calls, found %+v", f, engine.Calls(), found)
			}
			engine.Fault = func(c buckettest.Call) buckettest.Fault {
				if c.Op == "put" {
					return f
				}
				return buckettest.None
			}
			found = bucket.Check(t.Context(), bucket.Options{Bucket: "mail", Buckets: 3}, engine)
			if len(found) != 4 || found[2].Err != nil || found[3].Err == nil {
				t.Errorf("%v where it writes: %+v", f, found)
			}
		})
	}
}

// TestCheckUnsure: a request without a reply that the store carries out late
// makes it look wrong, and the finding says so.
func TestCheckUnsure(t *testing.T) {
	for _, late := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var writes atomic.Int32
			engine := &broken{Engine: &buckettest.Gateway{Store: &buckettest.Store{}}}
			engine.put = func(ctx context.Context, e bucket.Engine, key string, body io.ReadSeeker, size int64) error {
				if !strings.HasSuffix(key, "/l/0/0") {
					return e.Put(ctx, "mail", key, body, size)
				}
				n := writes.Add(1)
				if late && n == 1 {
					return errors.New("503 SlowDown")
				}
				err := e.Put(ctx, "mail", key, body, size)
				if late && n == 3 || !late && n == 2 {
					err = e.Put(ctx, "mail", key, strings.NewReader("written"), 7)
				}
				return err
			}
			for _, f := range bucket.Check(t.Context(), bucket.Options{Bucket: "mail"}, engine) {
				if wrong := strings.HasPrefix(f.What, "listings show"); wrong != (f.Err != nil) || f.Unsure != (wrong && late) {
					t.Errorf("late is %v: %+v", late, f)
				}
			}
		})
	}
}

// TestCheckCleans: a check removes what one that was killed left behind, and
// nothing of one that may still go on.
func TestCheckCleans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := &buckettest.Store{}
		engine := &buckettest.Gateway{Store: objects}
		put := func(key string) {
			if err := engine.Put(t.Context(), "mail", key, strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
		}
		put("poplin-check/KILLED/l/0-0")
		put("poplin-check/KILLED/r")
		put("other")
		time.Sleep(time.Hour)
		put("poplin-check/GOES-ON/r")
		time.Sleep(time.Minute)
		for _, f := range bucket.Check(t.Context(), bucket.Options{Bucket: "mail"}, engine) {
			if f.Err != nil {
				t.Errorf("%s: %v", f.What, f.Err)
			}
		}
		if got, want := objects.Keys("mail", ""), []string{"other", "poplin-buckets", "poplin-check/GOES-ON/r"}; !slices.Equal(got, want) {
			t.Errorf("there is %q, want %q", got, want)
		}
	})
}

// TestCheckCount: another number of buckets is refused, even where all of them
// are there, and from one bucket to several and back, where the first has
// another name.
func TestCheckCount(t *testing.T) {
	for _, was := range []int{16, 1} {
		objects := &buckettest.Store{}
		engine := &buckettest.Gateway{Store: objects}
		for _, buckets := range []int{was, was, 8, 256, 1, 0, 16, was} {
			right := max(buckets, 1) == was
			opts := bucket.Options{Bucket: "mail", Buckets: buckets}
			before := len(objects.Keys("mail", "")) + len(objects.Keys("mail-00", ""))
			var wrong []string
			for _, f := range bucket.Check(t.Context(), opts, engine) {
				if f.Err != nil {
					wrong = append(wrong, f.What+": "+f.Err.Error())
				}
			}
			want := fmt.Sprintf("the number of buckets is what it was: maildrops were spread over \"%d\" buckets, and now buckets is %d: ", was, max(buckets, 1))
			in := "from bucket " + bucket.Buckets("mail", was)[0]
			if right && len(wrong) > 0 || !right && (len(wrong) != 1 || !strings.HasPrefix(wrong[0], want) || !strings.HasSuffix(wrong[0], in)) {
				t.Errorf("%d buckets where there were %d: %q", buckets, was, wrong)
			}
			if err := bucket.LookAtCount(t.Context(), opts, engine); (err == nil) != right {
				t.Errorf("%d buckets where there were %d: LookAtCount says %v", buckets, was, err)
			}
			if after := len(objects.Keys("mail", "")) + len(objects.Keys("mail-00", "")); !right && after != before {
				t.Errorf("%d buckets where there were %d: %d objects, and %d before", buckets, was, after, before)
			}
		}
	}
}

// asking is an engine whose Get of some bucket fails.
type asking struct {
	bucket.Engine
	fails map[string]error
	asked []string
}

func (a *asking) Get(ctx context.Context, name, key string, how bucket.How) (*bucket.Object, error) {
	a.asked = append(a.asked, name)
	if err := a.fails[name]; err != nil {
		return nil, err
	}
	return a.Engine.Get(ctx, name, key, how)
}

// TestCheckCountElsewhere: where the first bucket would be with another number
// there mostly is no bucket, or one of somebody else's. What cannot be told of
// it is an error, and a name that no bucket has is not asked for.
func TestCheckCountElsewhere(t *testing.T) {
	slow := errors.New("503 SlowDown")
	for _, c := range []struct {
		bucket  string
		buckets int
		fails   map[string]error
		asked   string
		want    error
	}{
		{"mail", 16, nil, "mail-00 mail", nil},
		{"mail", 1, nil, "mail mail-00", nil},
		{"mail", 16, map[string]error{"mail": bucket.ErrNoBucket}, "mail-00 mail", nil},
		{"mail", 1, map[string]error{"mail": bucket.ErrNoBucket, "mail-00": bucket.ErrDenied}, "mail mail-00", nil},
		{"mail", 1, map[string]error{"mail": bucket.ErrDenied}, "mail", bucket.ErrDenied},
		{"mail", 1, map[string]error{"mail-00": slow}, "mail mail-00 mail-00 mail-00", slow},
		{"m", 16, map[string]error{"m": slow}, "m-00", nil},
		{"mail-", 16, map[string]error{"mail-": slow}, "mail--00", nil},
		{strings.Repeat("m", 61), 1, nil, strings.Repeat("m", 61), nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			engine := &asking{Engine: &buckettest.Gateway{Store: &buckettest.Store{}}, fails: c.fails}
			err := bucket.LookAtCount(t.Context(), bucket.Options{Bucket: c.bucket, Buckets: c.buckets}, engine)
			if asked := strings.Join(engine.asked, " "); !errors.Is(err, c.want) || asked != c.asked {
				t.Errorf("%s, %d buckets, where %v: asked %s, want %s; %v", c.bucket, c.buckets, c.fails, asked, c.asked, err)
			}
		})
	}
}

func faulty(f buckettest.Fault) func(*broken, *buckettest.Gateway) {
	return func(_ *broken, g *buckettest.Gateway) { g.Fault = func(buckettest.Call) buckettest.Fault { return f } }
}

func faultyDelete() func(*broken, *buckettest.Gateway) {
	return func(_ *broken, g *buckettest.Gateway) {
		g.Fault = func(c buckettest.Call) buckettest.Fault {
			if c.Op == "delete" && len(c.Keys) > 1 {
				return buckettest.Torn
			}
			return buckettest.None
		}
	}
}
