package move_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// late has PUT and DELETE of messages fail without an answer for a while. The
// DELETE are carried out later, as a gateway may that was slow.
type late struct {
	bucket.Engine
	mu      sync.Mutex
	failing bool
	waiting [][]string
}

var errNoReply = errors.New("no reply")

func (l *late) fails(key string) bool { return l.failing && strings.Contains(key, "/m/") }

func (l *late) Put(ctx context.Context, name, key string, body io.ReadSeeker, size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails(key) {
		return errNoReply
	}
	return l.Engine.Put(ctx, name, key, body, size)
}

func (l *late) Delete(ctx context.Context, name string, keys []string) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(keys) > 0 && l.fails(keys[0]) {
		l.waiting = append(l.waiting, keys)
		return keys, errNoReply
	}
	return l.Engine.Delete(ctx, name, keys)
}

// TestLateRequest: a run that follows one that failed puts messages under the
// same keys, so nothing that the first has asked for may take them away.
func TestLateRequest(t *testing.T) {
	e := &late{Engine: &buckettest.Gateway{Store: &buckettest.Store{}}, failing: true}
	to, err := bucket.New(bucket.Options{Engine: e, Bucket: "mail", TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	from, letters := newMaildirs(t), written(t)
	put(t, from, letters)
	if _, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil); err == nil {
		t.Fatal("no error of a store that does not answer")
	}
	e.failing = false
	run(t, from, to, move.Options{Empty: true})
	for _, keys := range e.waiting {
		if _, err := e.Delete(t.Context(), "mail", keys); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "the destination", to, letters)
	want(t, "the source", from, nil)
}
