package bucket

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errWrong says that an object is not what its key says.
var errWrong = errors.New("the object is not the one that was stored")

// read opens a message. First, above zero, is how many octets of the object
// are asked for at once at first, for a reader who may need no more.
func (s *Store) read(ctx context.Context, p place, m *message, first int64) (io.ReadCloser, error) {
	key, err := s.sealedWith(m)
	if err != nil {
		return nil, err
	}
	f := &fetch{store: s, place: p, message: m, step: first, size: m.size}
	f.ctx, f.stop = context.WithCancel(ctx)
	what := "cannot read message " + m.uid
	err = s.try(ctx, what, func(ctx context.Context) error { return f.next() })
	if err != nil {
		f.Close()
		if errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("bucket: message %s: %w", m.uid, maildrop.ErrGone)
		} else if errors.Is(err, errWrong) {
			s.watch.BodyFailed(failureWrong)
		}
		return nil, err
	}
	r := &reader{fetch: f, what: what, want: m.octets}
	r.from = f
	if m.sealed {
		r.from = newOpener(r.from, key, p, m.sealedAs())
	}
	if m.packed {
		if err := s.unpack(r); err != nil {
			r.Close()
			return nil, temporary(what, err)
		}
	}
	return r, nil
}

// reader gives a message: exactly the octets that its key announces, or an
// error.
type reader struct {
	*fetch
	what  string
	from  io.Reader // decrypts, unpacks
	want  int64     // octets still to come
	done  func()    // gives back what unpacks
	ended error
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.ended != nil {
		return 0, r.ended
	}
	n, err := r.from.Read(p)
	r.want -= int64(n)
	switch {
	case r.want < 0:
		n, err = 0, temporary(r.what, fmt.Errorf("it goes on behind its end: %w", errWrong))
	case err == io.EOF && r.want > 0:
		err = temporary(r.what, fmt.Errorf("%d octets are missing: %w", r.want, errWrong))
	case err != nil && err != io.EOF:
		err = temporary(r.what, err)
	}
	if err != nil && err != io.EOF && !r.lost {
		r.store.watch.BodyFailed(failureWrong)
	}
	r.ended = err
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.done != nil {
		r.done()
		r.done = nil
	}
	r.ended = errClosed
	return r.fetch.Close()
}

// fetch reads an object from its beginning to its end. What breaks off is
// asked for again from there: a store does not wait for a client that reads
// slowly. It ends in io.EOF only when all octets have come and their checksum
// is right.
type fetch struct {
	store *Store
	place
	message *message
	ctx     context.Context // for requests
	stop    context.CancelFunc
	watch   *time.Timer        // ends a request that gives nothing
	end     context.CancelFunc // of the request whose body is read

	size, off int64 // of the object; octets read
	sum       uint32
	body      io.ReadCloser // nil: a request is to be made
	left      int64         // octets of body still to come
	step      int64         // octets of the next request; 0 asks for the rest
	broken    int           // how often it broke off since the last octet came
	lost      bool          // it broke off for good
}

// next asks for the next octets.
func (f *fetch) next() error {
	ctx, stop := context.WithCancelCause(f.ctx)
	cancel := func() { stop(nil) }
	f.end = cancel
	f.watch = time.AfterFunc(f.store.timeout, func() { stop(context.DeadlineExceeded) })
	defer f.watch.Stop()
	length := f.size - f.off
	if f.step > 0 {
		length = min(length, f.step)
	}
	how := How{Offset: f.off, Length: length}
	if length == f.size {
		how = How{}
	}
	o, err := f.store.engine.Get(ctx, f.bucket, f.prefix+f.message.key(), how)
	if err != nil {
		cancel()
		return err
	}
	if o.Size != f.size {
		o.Body.Close()
		cancel()
		return fmt.Errorf("it has %d octets, and had %d: %w", o.Size, f.size, errWrong)
	}
	f.body, f.left = o.Body, length
	f.step *= 4
	return nil
}

// Read implements io.Reader.
func (f *fetch) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if f.body == nil {
			if f.off == f.size {
				return 0, f.verdict()
			}
			if err := f.again(); err != nil {
				return 0, err
			}
		}
		n, err := f.some(p)
		if n > 0 {
			f.sum = crc32.Update(f.sum, castagnoli, p[:n])
			f.off += int64(n)
			f.left -= int64(n)
			f.broken = 0
		}
		if err != nil || f.left == 0 {
			f.shut()
		}
		if n > 0 {
			return n, nil
		}
		if err != nil && f.off < f.size {
			if f.ctx.Err() == nil {
				f.store.watch.BodyFailed(failureCut)
			}
			if err := f.fault(err); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// some reads what there is of the body.
func (f *fetch) some(p []byte) (int, error) {
	if f.left == 0 {
		return 0, nil
	}
	f.watch.Reset(f.store.timeout)
	defer f.watch.Stop()
	return f.body.Read(p[:min(int64(len(p)), f.left)])
}

// again makes the next request, behind a pause where the last one failed.
func (f *fetch) again() error {
	for {
		err := f.next()
		if err == nil {
			return nil
		}
		if err := f.fault(err); err != nil {
			return err
		}
	}
}

// fault takes note of a failure, and waits before the next try. It gives an
// error where there is to be none.
func (f *fetch) fault(err error) error {
	f.broken++
	f.lost = true
	if err := f.ctx.Err(); err != nil {
		return err
	}
	if f.broken >= tries || lasting(err) {
		return fmt.Errorf("it broke off behind %d of %d octets: %w", f.off, f.size, err) // never a bare io.EOF
	}
	if err := sleep(f.ctx, pause<<(2*f.broken)); err != nil {
		return err
	}
	f.lost = false
	return nil
}

// verdict says what the end of the object is worth.
func (f *fetch) verdict() error {
	if f.sum != f.message.sum {
		return fmt.Errorf("its checksum is %08x: %w", f.sum, errWrong)
	}
	return io.EOF
}

// shut ends the request.
func (f *fetch) shut() {
	if f.body != nil {
		f.body.Close()
		f.body = nil
		f.end()
	}
}

// Close implements io.Closer.
func (f *fetch) Close() error {
	f.shut()
	f.stop()
	return nil
}
