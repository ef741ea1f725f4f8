// Package buckettest is an object store in memory, for tests: a bucket.Engine
// that fails as real ones do, when it is told to.
//
// A Store is what all nodes share. Each reaches it through a Gateway, with
// faults and a clock of its own.
package buckettest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// Store holds objects, and what they were before. Its zero value is ready,
// and has every bucket.
type Store struct {
	mu      sync.Mutex
	buckets map[string]map[string][]version
	changes int // of objects, ever
}

// version is what an object was from a change on.
type version struct {
	change   int
	gone     bool
	content  []byte
	modified time.Time
}

// set makes a change.
func (s *Store) set(bucketName, key string, v version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := s.buckets[bucketName]
	if objects == nil {
		if s.buckets == nil {
			s.buckets = make(map[string]map[string][]version)
		}
		objects = make(map[string][]version)
		s.buckets[bucketName] = objects
	}
	s.changes++
	v.change = s.changes
	objects[key] = append(objects[key], v)
}

// get gives an object.
func (s *Store) get(bucketName, key string) (version, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return at(s.buckets[bucketName][key], s.changes)
}

// at gives what an object was after a change.
func at(all []version, change int) (version, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].change <= change {
			return all[i], !all[i].gone
		}
	}
	return version{}, false
}

// Keys gives the keys that begin with prefix, in order.
func (s *Store) Keys(bucketName, prefix string) []string {
	var keys []string
	for _, e := range s.list(bucketName, prefix, "", 0) {
		keys = append(keys, e.Key)
	}
	return keys
}

// list gives what there was before the last changes, of which behind is the
// number.
func (s *Store) list(bucketName, prefix, after string, behind int) []bucket.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []bucket.Entry
	for key, versions := range s.buckets[bucketName] {
		if last := versions[len(versions)-1]; last.gone && last.change <= s.changes-staleness {
			delete(s.buckets[bucketName], key) // no listing can show it any more
			continue
		}
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if v, ok := at(versions, s.changes-behind); ok {
			all = append(all, bucket.Entry{Key: key, Size: int64(len(v.content)), ETag: etag(v.content), Modified: v.modified})
		}
	}
	slices.SortFunc(all, func(a, b bucket.Entry) int { return strings.Compare(a.Key, b.Key) })
	return all
}

func etag(content []byte) string {
	sum := md5.Sum(content)
	return hex.EncodeToString(sum[:])
}

// Gateway is a way to a Store. Its fields must be set before it is used.
type Gateway struct {
	Store *Store

	// Skew is how far the clock of this gateway is ahead.
	Skew time.Duration

	// Fault chooses the fault of a call. It may wait, for a call that takes
	// its time on the way. Nil means None.
	Fault func(Call) Fault

	mu    sync.Mutex
	calls int
}

var _ bucket.Engine = (*Gateway)(nil)

// Call is a call of an Engine.
type Call struct {
	N    int      // the first has 1
	Op   string   // "put", "get", "list", "delete"
	Key  string   // of list: the prefix
	Keys []string // of delete
}

// Calls gives the number of calls so far.
func (g *Gateway) Calls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

// begin counts a call, and meets the faults that every call can have. It gives
// the fault where the call is to go on.
func (g *Gateway) begin(ctx context.Context, c Call) (Fault, error) {
	g.mu.Lock()
	g.calls++
	c.N = g.calls
	g.mu.Unlock()
	f := None
	if g.Fault != nil {
		f = g.Fault(c)
	}
	switch f {
	case Unavailable:
		return f, errors.New("503 SlowDown")
	case Internal:
		return f, errors.New("500 InternalError")
	case Expired:
		return f, fmt.Errorf("403 ExpiredToken: %w", bucket.ErrDenied)
	case NoBucket:
		return f, fmt.Errorf("404: %w", bucket.ErrNoBucket)
	case Lost:
		return f, hang(ctx)
	case Dead:
		return f, errors.New("this node is dead")
	case Unanswered:
		return f, nil // whoever still waits for it
	case Slow:
		select {
		case <-time.After(slowness):
		case <-ctx.Done():
		}
	}
	return f, ctx.Err()
}

// hang waits for a reply that does not come.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// after meets the faults of a call that was carried out.
func (f Fault) after(ctx context.Context) error {
	switch f {
	case Unanswered:
		return hang(ctx)
	case Reset:
		return errors.New("read: connection reset by peer")
	}
	return nil
}

// clock gives the time by the clock of the gateway, as HTTP and LIST tell it.
func (g *Gateway) clock() time.Time { return time.Now().Add(g.Skew).Truncate(time.Second) }

// Put implements bucket.Engine.
func (g *Gateway) Put(ctx context.Context, bucketName, key string, body io.ReadSeeker, size int64) error {
	f, err := g.begin(ctx, Call{Op: "put", Key: key})
	if err != nil {
		return err
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(content)) != size {
		return fmt.Errorf("400 IncompleteBody: %d octets, announced were %d", len(content), size)
	}
	g.Store.set(bucketName, key, version{content: content, modified: g.clock()})
	return f.after(ctx)
}

// Get implements bucket.Engine.
func (g *Gateway) Get(ctx context.Context, bucketName, key string, how bucket.How) (*bucket.Object, error) {
	f, err := g.begin(ctx, Call{Op: "get", Key: key})
	if err == nil {
		err = f.early(ctx)
	}
	if err != nil {
		return nil, err
	}
	v, ok := g.Store.get(bucketName, key)
	if !ok {
		return nil, fmt.Errorf("404 NoSuchKey: %w", bucket.ErrNotFound)
	}
	o := &bucket.Object{Size: int64(len(v.content)), ETag: etag(v.content)}
	if how.Unless == o.ETag {
		return nil, fmt.Errorf("304: %w", bucket.ErrNotModified)
	}
	content := v.content
	if how.Offset > o.Size || how.Offset > 0 && how.Offset == o.Size {
		return nil, errors.New("416 InvalidRange")
	}
	if content = content[how.Offset:]; how.Length > 0 {
		content = content[:min(how.Length, int64(len(content)))]
	}
	o.Body = f.body(o, content)
	return o, nil
}

// List implements bucket.Engine.
func (g *Gateway) List(ctx context.Context, bucketName, prefix, after string, most int) (*bucket.Page, error) {
	f, err := g.begin(ctx, Call{Op: "list", Key: prefix})
	if err != nil {
		return nil, err
	}
	behind := 0
	if f == Stale {
		behind = staleness
	}
	p := &bucket.Page{Entries: g.Store.list(bucketName, prefix, after, behind)}
	if len(p.Entries) > most {
		p.Entries, p.More = p.Entries[:most], true
	}
	err = f.after(ctx)
	p.Date = g.clock()
	return p, err
}

// Delete implements bucket.Engine.
func (g *Gateway) Delete(ctx context.Context, bucketName string, keys []string) (left []string, err error) {
	f, err := g.begin(ctx, Call{Op: "delete", Keys: keys})
	if err != nil {
		return keys, err
	}
	if len(keys) > bucket.MaxDelete {
		return keys, errors.New("400 MalformedXML: more than 1000 keys")
	}
	done := len(keys)
	if f == Part || f == Torn {
		done /= 2
	}
	for _, key := range keys[:done] {
		if _, ok := g.Store.get(bucketName, key); ok {
			g.Store.set(bucketName, key, version{gone: true})
		}
	}
	switch {
	case f == Part && done < len(keys):
		return keys[done:], fmt.Errorf("%d keys were not deleted: InternalError", len(keys)-done)
	case f == Torn:
		return keys, io.ErrUnexpectedEOF
	}
	if err := f.after(ctx); err != nil {
		return keys, err
	}
	return nil, nil
}

// body gives the body of a reply, as the fault has it.
func (f Fault) body(o *bucket.Object, content []byte) io.ReadCloser {
	half := content[:len(content)/2]
	switch f {
	case Short:
		return io.NopCloser(bytes.NewReader(half))
	case Cut:
		return io.NopCloser(io.MultiReader(bytes.NewReader(half), failing{errors.New("read: connection reset by peer")}))
	case Long:
		o.Size += 10
		return io.NopCloser(io.MultiReader(bytes.NewReader(content), strings.NewReader("ten octets")))
	case Corrupt:
		if len(content) > 0 {
			content = slices.Clone(content)
			content[len(content)/2] ^= 1
		}
	}
	return io.NopCloser(bytes.NewReader(content))
}

// failing fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
