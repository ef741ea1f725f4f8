package trial

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// move has mail move on a site for a moment.
func move(t *testing.T, s *site, users []string, kinds ...Pieces) *Result {
	t.Helper()
	r, err := Run(t.Context(), Options{LMTP: s.lmtp, POP3: s.pop3, Users: users, Password: password, Lease: time.Second, Kinds: kinds,
		Seed: 1, Kills: len(kinds), Time: time.Second / 2, Least: 20, Deliverers: 2, Pollers: 2, DeliveryPause: 5 * time.Millisecond, PollPause: 10 * time.Millisecond,
		Calm: 100 * time.Millisecond, Away: time.Second,
		Leftovers: func(_ context.Context, user string) (keys []string, err error) {
			for _, key := range s.objects.Keys("mail", "") {
				if strings.Contains(key, "/"+user+"/m/") {
					keys = append(keys, key)
				}
			}
			return keys, nil
		}})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Summary())
	}
	return r
}

var users = []string{"ada", "bob"}

// A store that keeps its promises harms nothing, also where it is away for a
// while.
func TestTruthful(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	failed := make(chan struct{}, 1)
	s := newSite(t, users, func(e bucket.Engine) bucket.Engine { return &broken{e, &away, failed} }, nil)
	r := move(t, s, users, Pieces{"store", []Piece{{"the store", func() { away.Store(true) }, func(context.Context) error {
		<-failed
		away.Store(false)
		return nil
	}}}})
	if err := r.Verdict(); err != nil {
		t.Errorf("%v\n%s", err, r.Summary())
	}
	if r.Strikes != 1 || len(r.Spans) != 2 || r.Spans[1].Times != 1 {
		t.Errorf("%d strikes, spans %+v", r.Strikes, r.Spans)
	}
}

// broken fails while it is away, and tells.
type broken struct {
	bucket.Engine
	away   *atomic.Bool
	failed chan<- struct{}
}

func (b *broken) Put(ctx context.Context, name, key string, body io.ReadSeeker, size int64) error {
	if b.away.Load() {
		select {
		case b.failed <- struct{}{}:
		default:
		}
		return io.ErrUnexpectedEOF
	}
	return b.Engine.Put(ctx, name, key, body, size)
}

// TestControls: the books find what each store does that breaks a promise.
func TestControls(t *testing.T) {
	for _, c := range []struct {
		name   string
		engine func(bucket.Engine) bucket.Engine
		top    func(*bucket.Store) store
		seen   func(Counts) int
	}{
		{"loses what was put", func(e bucket.Engine) bucket.Engine { return &losing{Engine: e} }, nil,
			func(c Counts) int { return min(c.Lost, c.Missing) }},
		{"deletes one more", func(e bucket.Engine) bucket.Engine { return &greedy{e} }, nil,
			func(c Counts) int { return min(c.Missing, c.Lost+c.Unmarked) }},
		{"leaves one out of a listing", func(e bucket.Engine) bucket.Engine { return &blind{Engine: e, part: "/m/"} }, nil,
			func(c Counts) int { return c.Missing }},
		{"does not show the locks of others", func(e bucket.Engine) bucket.Engine { return &blind{Engine: e, part: "/k/"} }, nil,
			func(c Counts) int { return c.Double }},
		{"stores twice", func(e bucket.Engine) bucket.Engine { return &doubling{e} }, nil,
			func(c Counts) int { return c.Doubled }},
		{"brings back what was deleted", func(e bucket.Engine) bucket.Engine { return &returning{Engine: e} }, nil,
			func(c Counts) int { return c.Back }},
		{"deletes nothing", func(e bucket.Engine) bucket.Engine { return &keeping{e} }, nil,
			func(c Counts) int { return min(c.Back, c.Stray) }},
		{"gives other octets", nil, func(b *bucket.Store) store { return &bending{b} },
			func(c Counts) int { return c.Corrupt }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := move(t, newSite(t, users, c.engine, c.top), users)
			if c.seen(r.Counts) == 0 {
				t.Errorf("what is wrong was not seen:\n%s", r.Summary())
			}
			if (r.Verdict() == nil) != (r.harm() == 0) {
				t.Errorf("the verdict is %v\n%s", r.Verdict(), r.Summary())
			}
		})
	}
}

// losing says that it has stored what it has not, one message of eight.
type losing struct {
	bucket.Engine
	n atomic.Int64
}

func (l *losing) Put(ctx context.Context, name, key string, body io.ReadSeeker, size int64) error {
	if strings.Contains(key, "/m/") && l.n.Add(1)%8 == 0 {
		return nil
	}
	return l.Engine.Put(ctx, name, key, body, size)
}

// greedy deletes the newest message too.
type greedy struct{ bucket.Engine }

func (g *greedy) Delete(ctx context.Context, name string, keys []string) ([]string, error) {
	if prefix, _, ok := strings.Cut(keys[0], "/m/"); ok {
		p, err := g.List(ctx, name, prefix+"/m/", "", 1000)
		if err == nil && len(p.Entries) > 0 {
			g.Engine.Delete(ctx, name, []string{p.Entries[len(p.Entries)-1].Key})
		}
	}
	return g.Engine.Delete(ctx, name, keys)
}

// blind lists only the locks that were written through it, or now and then
// not the first message.
type blind struct {
	bucket.Engine
	part string
	mine sync.Map
	n    atomic.Int64
}

func (b *blind) Put(ctx context.Context, name, key string, body io.ReadSeeker, size int64) error {
	b.mine.Store(key, true)
	return b.Engine.Put(ctx, name, key, body, size)
}

func (b *blind) List(ctx context.Context, name, prefix, after string, most int) (*bucket.Page, error) {
	p, err := b.Engine.List(ctx, name, prefix, after, most)
	if err != nil || b.part == "/m/" && b.n.Add(1)%4 != 0 {
		return p, err
	}
	kept := p.Entries[:0:0]
	left := 0
	for _, e := range p.Entries {
		_, mine := b.mine.Load(e.Key)
		out := strings.Contains(e.Key, b.part) && (b.part == "/m/" && left == 0 || b.part == "/k/" && !mine)
		if out {
			left++
		} else {
			kept = append(kept, e)
		}
	}
	p.Entries = kept
	return p, nil
}

// doubling stores each message under another key too.
type doubling struct{ bucket.Engine }

func (d *doubling) Put(ctx context.Context, name, key string, body io.ReadSeeker, size int64) error {
	if at := strings.Index(key, "/m/"); at >= 0 {
		const last = len("/m/") + 25 // the end of the ULID
		other := []byte(key)
		other[at+last] = '0' + (other[at+last]-'0'+1)%10
		if err := d.Engine.Put(ctx, name, string(other), body, size); err != nil {
			return err
		}
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return d.Engine.Put(ctx, name, key, body, size)
}

// returning has one message of each removal come back, once.
type returning struct {
	bucket.Engine
	returned sync.Map
}

func (r *returning) Delete(ctx context.Context, name string, keys []string) ([]string, error) {
	key := keys[0]
	_, returned := r.returned.LoadOrStore(key, true)
	if !strings.Contains(key, "/m/") || returned {
		return r.Engine.Delete(ctx, name, keys)
	}
	if len(keys) == 1 {
		return nil, nil
	}
	return r.Engine.Delete(ctx, name, keys[1:])
}

// keeping deletes no message.
type keeping struct{ bucket.Engine }

func (k *keeping) Delete(ctx context.Context, name string, keys []string) ([]string, error) {
	if strings.Contains(keys[0], "/m/") {
		return nil, nil
	}
	return k.Engine.Delete(ctx, name, keys)
}

// bending changes an octet at the end of what it reads.
type bending struct{ *bucket.Store }

func (b *bending) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	m, err := b.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &bent{m}, nil
}

type bent struct{ maildrop.Maildrop }

func (b *bent) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	r, err := b.Maildrop.Open(ctx, i)
	if err != nil {
		return nil, err
	}
	return &bentBody{r, b.Messages()[i].Size}, nil
}

type bentBody struct {
	io.ReadCloser
	left int64
}

func (b *bentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left == 0 && n > 2 {
		p[n-3] ^= 1 // before the last CRLF
	}
	return n, err
}
