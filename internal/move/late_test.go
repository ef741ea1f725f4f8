package move_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// late has PUT and DELETE of messages fail without an answer for a while. They
// are carried out later, as a gateway may that was slow.
type late struct {
	bucket.Engine
	mu      sync.Mutex
	failing bool
	puts    []func() error
	keys    []string // of puts
	deletes [][]string
}

var errNoReply = errors.New("no reply")

func (l *late) fails(key string) bool { return l.failing && strings.Contains(key, "/m/") }

func (l *late) Put(ctx context.Context, name, key string, body io.ReadSeeker, size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails(key) {
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		l.keys = append(l.keys, key)
		l.puts = append(l.puts, func() error {
			return l.Engine.Put(context.Background(), name, key, strings.NewReader(string(text)), size)
		})
		return errNoReply
	}
	return l.Engine.Put(ctx, name, key, body, size)
}

func (l *late) Delete(ctx context.Context, name string, keys []string) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(keys) > 0 && l.fails(keys[0]) {
		l.deletes = append(l.deletes, keys)
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
	for _, keys := range e.deletes {
		if _, err := e.Delete(t.Context(), "mail", keys); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "the destination", to, letters)
	want(t, "the source", from, nil)
}

// TestLatePut: a message that was put twice, as two objects where it is sealed,
// is listed once, and goes as one.
func TestLatePut(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, s *bucket.Store, letters []letter){
		"removed": func(t *testing.T, s *bucket.Store, letters []letter) { remove(t, s, uidsOf(letters)...) },
		"expired": func(t *testing.T, s *bucket.Store, _ []letter) {
			if _, err := s.Expire(t.Context(), user, time.Now(), false); err != nil {
				t.Fatal(err)
			}
		},
		"moved away": func(t *testing.T, s *bucket.Store, letters []letter) {
			maildirs := newMaildirs(t)
			run(t, s, maildirs, move.Options{Empty: true})
			want(t, "the Maildir", maildirs, letters)
		},
		"set aside": func(t *testing.T, s *bucket.Store, letters []letter) {
			setAside(t, s, uidsOf(letters)...)
			want(t, "the bucket without what is aside", s, nil)
			if n, err := s.Undelete(t.Context(), user, time.Time{}); n != len(letters) || err != nil {
				t.Errorf("%d came back, %v", n, err)
			}
			want(t, "the bucket, undeleted", s, letters)
			remove(t, s, uidsOf(letters)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects := &buckettest.Store{}
			e := &late{Engine: &buckettest.Gateway{Store: objects}, failing: true}
			to, err := bucket.New(bucket.Options{Engine: e, Bucket: "mail", TempDir: t.TempDir(), Keys: []bucket.Key{{7}}})
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
			for _, put := range e.puts {
				if err := put(); err != nil {
					t.Fatal(err)
				}
			}
			want(t, "the bucket", to, letters)
			end(t, to, letters)
			for _, key := range objects.Keys("mail", "") {
				if strings.Contains(key, "/m/") {
					t.Errorf("%s is left", key)
				}
			}
		})
	}
}

// TestLatePutElsewhere: the same where the message lies elsewhere the second
// time, since its neighbour has gone.
func TestLatePutElsewhere(t *testing.T) {
	objects := &buckettest.Store{}
	e := &late{Engine: &buckettest.Gateway{Store: objects}, failing: true}
	to, err := bucket.New(bucket.Options{Engine: e, Bucket: "mail", TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	from, letters := newMaildirs(t), written(t)[:3]
	put(t, from, letters)
	if _, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil); err == nil {
		t.Fatal("no error of a store that does not answer")
	}
	remove(t, from, letters[0].UID)
	e.failing = false
	run(t, from, to, move.Options{Empty: true})
	before := len(objects.Keys("mail", ""))
	second := ".u" + base64.RawURLEncoding.EncodeToString([]byte(letters[1].UID))
	for i, put := range e.puts {
		if strings.Contains(e.keys[i], second) {
			if err := put(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(objects.Keys("mail", "")); n != before+1 {
		t.Fatalf("there are %d objects, and were %d: the message is not there twice", n, before)
	}
	want(t, "the bucket", to, letters[1:])
	remove(t, to, letters[1].UID)
	want(t, "the bucket without it", to, letters[2:])
	if n := len(objects.Keys("mail", "")); n != before-1 {
		t.Errorf("there are %d objects, want %d", n, before-1)
	}
}
