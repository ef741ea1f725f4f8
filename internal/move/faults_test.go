package move_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
)

// watched is a store that does something when the first message is opened, and
// may give other octets than there are.
type watched struct {
	place
	first func()
	spoil func(uid string, r io.ReadCloser) io.ReadCloser
}

func (w *watched) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	m, err := w.place.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &watchedDrop{m.(maildrop.Importer), w}, nil
}

type watchedDrop struct {
	maildrop.Importer
	w *watched
}

func (d *watchedDrop) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	if first := d.w.first; first != nil {
		d.w.first = nil
		first()
	}
	r, err := d.Importer.Open(ctx, i)
	if err == nil && d.w.spoil != nil {
		r = d.w.spoil(d.Messages()[i].UID, r)
	}
	return r, err
}

// reader reads other octets in the place of a message.
type reader struct {
	io.Reader
	io.Closer
}

// damaged is a place in which one message cannot be read whole.
func damaged(s place, uid string) place {
	return &watched{place: s, spoil: func(its string, r io.ReadCloser) io.ReadCloser {
		if its != uid {
			return r
		}
		return reader{io.MultiReader(r, strings.NewReader("more\r\n")), r}
	}}
}

// TestSpoilt: a message that cannot be read whole is named, the others are
// copied, and nothing is removed.
func TestSpoilt(t *testing.T) {
	letters := written(t)
	bad := letters[1].UID
	broken := errors.New("the disk is broken")
	for name, spoil := range map[string]func(r io.ReadCloser) io.Reader{
		"short":  func(r io.ReadCloser) io.Reader { return io.LimitReader(r, 10) },
		"long":   func(r io.ReadCloser) io.Reader { return io.MultiReader(r, strings.NewReader("more\r\n")) },
		"breaks": func(r io.ReadCloser) io.Reader { return io.MultiReader(io.LimitReader(r, 10), &failing{broken}) },
		"cut": func(r io.ReadCloser) io.Reader {
			return io.MultiReader(io.LimitReader(r, 10), &failing{io.ErrUnexpectedEOF})
		},
		"nothing":  func(io.ReadCloser) io.Reader { return strings.NewReader("") },
		"the same": nil,
	} {
		t.Run(name, func(t *testing.T) {
			directions(t, func(t *testing.T, from, to place) {
				put(t, from, letters)
				spoilt := &watched{place: from, spoil: func(uid string, r io.ReadCloser) io.ReadCloser {
					if uid != bad || spoil == nil {
						return r
					}
					return reader{spoil(r), r}
				}}
				r, err := move.New(spoilt, to, move.Options{Empty: true}).Run(t.Context(), user, nil)
				if spoil == nil {
					if err != nil || len(r.Failed) != 0 {
						t.Errorf("error %v, %+v", err, r)
					}
					return
				}
				if !errors.Is(err, move.ErrFailed) || len(r.Failed) != 1 || r.Failed[0].UID != bad || r.Removed != 0 || r.Copied != len(letters)-1 {
					t.Errorf("error %v, %+v", err, r)
				}
				want(t, "the source", from, letters)
				want(t, "the destination", to, slices.Delete(slices.Clone(letters), 1, 2))
				run(t, from, to, move.Options{Empty: true})
				want(t, "the destination, at last", to, letters)
				want(t, "the source, at last", from, nil)
			})
		})
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// TestCopyDiffers: a destination that gives other octets, or has another
// message of that unique-id, keeps the source as it is.
func TestCopyDiffers(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		other := slices.Clone(letters[:3])
		other[1].text = strings.Replace(other[1].text, "courier", "fourier", 1)
		put(t, to, other)
		put(t, from, letters)
		r, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil)
		if !errors.Is(err, move.ErrFailed) || len(r.Failed) != 1 || r.Failed[0].UID != letters[1].UID || !strings.Contains(r.Failed[0].Err.Error(), "differs from octet 10 on") {
			t.Errorf("error %v, %+v", err, r)
		}
		want(t, "the source", from, letters)
		remove(t, to, letters[1].UID)
		shorter := slices.Clone(letters[1:2])
		shorter[0].text, shorter[0].Size = "x\r\n", 3
		put(t, to, shorter)
		if r, err = move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil); !errors.Is(err, move.ErrFailed) || !strings.Contains(r.Failed[0].Err.Error(), "it has 3 octets at the destination") {
			t.Errorf("error %v, %+v", err, r)
		}
		want(t, "the source", from, letters)
	})
}

// TestOtherMovedAway: the other message is removed, as the error says, by a
// session; then the source's own is brought over. A run that dies in between
// does not take that for its user's wish.
func TestOtherMovedAway(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		other := slices.Clone(letters[1:2])
		other[0].text = strings.Replace(other[0].text, "courier", "fourier", 1)
		put(t, to, other)
		put(t, from, letters)
		if _, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil); !errors.Is(err, move.ErrFailed) {
			t.Errorf("error %v", err)
		}
		f := &fate{at: 40}
		_, _ = move.New(&mortal{from, f}, &mortal{to, f}, move.Options{Empty: true, AtOnce: 1}).Run(t.Context(), user, nil)
		f.buried()
		if note := string(noted(t, from)); !f.dead || !strings.Contains(note, `"unsure":["UID7-1234567"]`) {
			t.Errorf("dead: %v; noted is %s", f.dead, note)
		}
		remove(t, to, other[0].UID)
		if _, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, nil); errors.Is(err, move.ErrFailed) {
			remove(t, to, other[0].UID) // a bucket had it kept aside, for the run that died, and brought it back
			run(t, from, to, move.Options{Empty: true})
		} else if err != nil {
			t.Errorf("error %v", err)
		}
		want(t, "the destination", to, letters)
		want(t, "the source", from, nil)
	})
}

// TestFailingStore: with every fault that an object store has now and then, no
// run loses anything, and one without faults ends it.
func TestFailingStore(t *testing.T) {
	letters := written(t)
	for _, fault := range []buckettest.Fault{buckettest.Unavailable, buckettest.Expired, buckettest.Reset, buckettest.Corrupt, buckettest.Short, buckettest.Torn} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			maildirs, objects := newMaildirs(t), &buckettest.Store{}
			calls := 0
			gateway := &buckettest.Gateway{Store: objects, Fault: func(c buckettest.Call) buckettest.Fault {
				if calls++; calls%7 == 3 {
					return fault
				}
				return buckettest.None
			}}
			faulty, err := bucket.New(bucket.Options{Engine: gateway, Bucket: "mail", TempDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			well := newBucket(t, bucket.Options{}, objects)
			opts := move.Options{Empty: true, AtOnce: 1}
			put(t, maildirs, letters)
			_, err = move.New(maildirs, faulty, opts).Run(t.Context(), user, nil)
			somewhere(t, maildirs, well, letters)
			if err != nil {
				run(t, maildirs, well, opts)
			}
			want(t, "the bucket", well, letters)
			_, err = move.New(faulty, maildirs, opts).Run(t.Context(), user, nil)
			somewhere(t, maildirs, well, letters)
			if err != nil {
				run(t, well, maildirs, opts)
			}
			want(t, "the Maildir", maildirs, letters)
			want(t, "the bucket, at last", well, nil)
		})
	}
}

// TestHuge: a message is never in memory as a whole, and neither is what is
// compared.
func TestHuge(t *testing.T) {
	const octets = 48 << 20
	from, to := newMaildirs(t), newMaildirs(t)
	line := strings.Repeat("0123456789abcde ", 63) + "0123456789abcd\n" // 1 KiB on the wire
	if _, err := from.Deliver(t.Context(), user, io.LimitReader(&endless{line: line}, octets/1024*int64(len(line)))); err != nil {
		t.Fatal(err)
	}
	var before, behind runtime.MemStats
	runtime.ReadMemStats(&before)
	watch := new(move.Watch)
	r, err := move.New(from, to, move.Options{Empty: true}).Run(t.Context(), user, watch)
	runtime.ReadMemStats(&behind)
	if err != nil || r.Removed != 1 || r.Octets != octets {
		t.Errorf("error %v, %+v", err, r)
	}
	if n := behind.TotalAlloc - before.TotalAlloc; n > octets/8 {
		t.Errorf("%d octets of memory for a message of %d", n, octets)
	}
	if done, whole := watch.Octets(); done < octets*2 || done > whole || watch.Stage() != "emptying" {
		t.Errorf("%s: %d of %d octets were read", watch.Stage(), done, whole)
	}
}

// endless gives a line for ever.
type endless struct {
	line string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.at:])
	e.at = (e.at + n) % len(e.line)
	return n, nil
}
