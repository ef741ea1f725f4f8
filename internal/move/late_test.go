package move_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
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

// newLate makes a bucket whose requests can be late.
func newLate(t *testing.T, opts bucket.Options) (*late, *buckettest.Store, *bucket.Store) {
	t.Helper()
	objects := &buckettest.Store{}
	l := &late{Engine: &buckettest.Gateway{Store: objects}}
	opts.Engine, opts.Bucket, opts.TempDir = l, "mail", t.TempDir()
	s, err := bucket.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return l, objects, s
}

// fail moves the user while the store does not answer.
func (l *late) fail(t *testing.T, from, to place) {
	t.Helper()
	l.failing = true
	if _, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil); err == nil {
		t.Fatal("no error of a store that does not answer")
	}
	l.failing = false
}

// arrive carries out each PUT that is late.
func (l *late) arrive(t *testing.T) {
	t.Helper()
	if len(l.puts) == 0 {
		t.Fatal("no PUT is late")
	}
	for _, put := range l.puts {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLateRequest: a run that follows one that failed puts messages under the
// same keys, so nothing that the first has asked for may take them away.
func TestLateRequest(t *testing.T) {
	e, _, to := newLate(t, bucket.Options{})
	from, letters := newMaildirs(t), written(t)
	put(t, from, letters)
	e.fail(t, from, to)
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
			t.Parallel()
			e, objects, to := newLate(t, bucket.Options{Keys: []bucket.Key{{7}}})
			from, letters := newMaildirs(t), written(t)
			put(t, from, letters)
			e.fail(t, from, to)
			run(t, from, to, move.Options{Empty: true})
			e.arrive(t)
			want(t, "the bucket", to, letters)
			end(t, to, letters)
			if keys := messageKeys(objects); len(keys) != 0 {
				t.Errorf("%q are left", keys)
			}
		})
	}
}

// TestLatePutElsewhere: the same where the message lies elsewhere the second
// time, since its neighbour has gone.
func TestLatePutElsewhere(t *testing.T) {
	e, objects, to := newLate(t, bucket.Options{})
	from, letters := newMaildirs(t), written(t)[:3]
	put(t, from, letters)
	e.fail(t, from, to)
	remove(t, from, letters[0].UID)
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

// TestLatePutOfAside: a message that is set aside stays so when it comes late
// under a lower key, too.
func TestLatePutOfAside(t *testing.T) {
	e, objects, to := newLate(t, bucket.Options{})
	from, letters := newMaildirs(t), written(t)
	x, behind := letters[3], letters[4] // which is at the destination, and the older one
	put(t, from, []letter{x, behind})
	put(t, to, []letter{behind})
	e.fail(t, from, to)
	remove(t, from, behind.UID)
	remove(t, to, behind.UID)
	run(t, from, to, move.Options{})
	setAside(t, to, x.UID)
	e.arrive(t)
	if keys := messageKeys(objects); len(keys) != 3 {
		t.Fatalf("the message is not there twice, beside the older one: %q", keys)
	}
	want(t, "the bucket", to, nil)
	if n, err := to.Undelete(t.Context(), user, time.Time{}); n != 2 || err != nil || !lists(t, to, x.UID) {
		t.Errorf("%d came back, %v", n, err)
	}
}

// TestLatePutOfOtherTime: a message that has another time when it is put again,
// as files of a backup may, is one nevertheless, and keeps nobody out.
func TestLatePutOfOtherTime(t *testing.T) {
	e, objects, to := newLate(t, bucket.Options{})
	from, l := newMaildirs(t), written(t)[0]
	put(t, from, []letter{l})
	e.fail(t, from, to)
	l.Received = l.Received.Add(time.Hour)
	restored := newMaildirs(t)
	put(t, restored, []letter{l})
	run(t, restored, to, move.Options{Empty: true})
	e.arrive(t)
	if n := messageKeys(objects); len(n) != 2 {
		t.Fatalf("the message is not there twice: %q", n)
	}
	if got := listed(t, to); len(got) != 1 || got[0].text != l.text {
		t.Errorf("the bucket is\n%s", show(got))
	}
	remove(t, to, l.UID)
	if n := messageKeys(objects); len(n) != 0 {
		t.Errorf("%q are left", n)
	}
}

// TestLatePutOfOther: of two messages that have one UID, a time and a size
// neither hides the other: the login is refused until one is moved away.
func TestLatePutOfOther(t *testing.T) {
	e, objects, to := newLate(t, bucket.Options{})
	from, first := newMaildirs(t), written(t)[0]
	put(t, from, []letter{first})
	e.fail(t, from, to)
	second := first
	second.text = strings.Replace(first.text, "x", "y", 1)
	restored := newMaildirs(t)
	put(t, restored, []letter{second})
	run(t, restored, to, move.Options{Empty: true})
	want(t, "the bucket", to, []letter{second})
	e.arrive(t)
	keys := messageKeys(objects)
	if len(keys) != 2 {
		t.Fatalf("there are not two: %q", keys)
	}
	m, err := to.Open(t.Context(), user)
	if err == nil {
		m.Close()
	}
	if !errors.Is(err, maildrop.ErrPermanent) || !strings.Contains(err.Error(), e.keys[0]) || !strings.Contains(err.Error(), "move one of them away") {
		t.Errorf("a login: %v", err)
	}
	if _, err := e.Delete(t.Context(), "mail", e.keys[:1]); err != nil {
		t.Fatal(err)
	}
	want(t, "the bucket, without the late one", to, []letter{second})
}

// messageKeys gives the keys of messages.
func messageKeys(objects *buckettest.Store) []string {
	return slices.DeleteFunc(objects.Keys("mail", ""), func(key string) bool { return !strings.Contains(key, "/m/") })
}

// TestSignsDoNotAddUp: what says that an import has not ended is one object,
// however many runs fail.
func TestSignsDoNotAddUp(t *testing.T) {
	objects := &buckettest.Store{}
	from, to := newMaildirs(t), newBucket(t, bucket.Options{}, objects)
	letters := written(t)[:2]
	put(t, from, letters)
	for range 5 {
		if _, err := move.New(damaged(from, letters[1].UID), to, move.Options{Live: true}).Run(t.Context(), user, nil); !errors.Is(err, move.ErrFailed) {
			t.Fatalf("error %v", err)
		}
		signs := slices.DeleteFunc(objects.Keys("mail", ""), func(key string) bool { return !strings.Contains(key, "/k/") })
		if len(signs) != 1 {
			t.Errorf("signs are %q", signs)
		}
	}
}
