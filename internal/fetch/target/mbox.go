package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// MboxOptions say where an mbox is. Path and Staging must be set.
type MboxOptions struct {
	Path    string
	Staging string // a folder for messages on their way, which other targets may use too

	// LockTimeout is how long to wait for other programs that use the mbox;
	// 0: two minutes.
	LockTimeout time.Duration
}

// Mbox appends messages to an mbox, a file that mail programs and other
// deliveries use at the same time. Before a message is appended the journal
// notes where, so that what a run left there that was broken off is told from
// what is whole. The file is only ever cut where what is cut off is a message
// of Poplin's that is not whole, and the last one.
type Mbox struct {
	staging
	opts   MboxOptions
	places map[string]place // of messages that are prepared, by id
}

// OpenMbox makes the target. The mbox is made when the first message comes.
func OpenMbox(fsys disk.FS, opts MboxOptions) (*Mbox, error) {
	path, err := filepath.Abs(opts.Path)
	if err == nil {
		err = disk.MakeFolder(fsys, filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("the mbox %s cannot be used: %w", path, err)
	}
	opts.Path = path
	opts.LockTimeout = cmp.Or(opts.LockTimeout, 2*time.Minute)
	b := &Mbox{opts: opts, places: make(map[string]place)}
	if b.staging, err = newStaging(fsys, opts.Staging, b.Name()); err != nil {
		return nil, err
	}
	return b, nil
}

var _ Target = (*Mbox)(nil)

// Name implements Target.
func (b *Mbox) Name() string { return "mbox:" + b.opts.Path }

// Batch implements Target.
func (m *Mbox) Batch() int { return batchMessages }

// Prepare implements Target. The note says where the message will be if no
// other program is faster, and what its first line is.
func (b *Mbox) Prepare(_ context.Context, batch []*Message) ([]string, []error) {
	notes, errs := make([]string, len(batch)), b.sync(batch)
	at, err := b.end()
	for i, m := range batch {
		if errs[i] == nil {
			errs[i] = err
		}
		if errs[i] != nil {
			continue
		}
		var p place
		var size int64
		if p, size, errs[i] = b.measure(m, at); errs[i] != nil {
			continue
		}
		b.places[m.ID] = p
		notes[i] = p.String()
		at += size
	}
	return notes, errs
}

// end gives the length of the mbox, with what must stand before the next
// message.
func (b *Mbox) end() (int64, error) {
	f, err := b.fs.OpenFile(b.opts.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	before, err := lead(f, info.Size())
	return info.Size() + int64(len(before)), err
}

// measure gives the place of a message at an offset, and how many octets it
// takes there.
func (b *Mbox) measure(m *Message, offset int64) (place, int64, error) {
	f, err := b.open(m)
	if err != nil {
		return place{}, 0, err
	}
	defer f.Close()
	e, err := readEnvelope(io.NewSectionReader(f, 0, m.Octets))
	if err != nil {
		return place{}, 0, err
	}
	p := newPlace(offset, e)
	size := counter(len(p.fromLine()))
	err = writeForm(&size, m.ID, f)
	return p, int64(size), err
}

// counter counts octets that are written to it.
type counter int64

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// Deliver implements Target: all messages are appended under one lock, and one
// sync. Where that fails the mbox is what it was.
func (b *Mbox) Deliver(ctx context.Context, batch []*Message) []error {
	errs := make([]error, len(batch))
	if err := b.append(ctx, batch); err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func (b *Mbox) append(ctx context.Context, batch []*Message) (err error) {
	f, err := b.lock(ctx, os.O_CREATE)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.size == 0 { // it may be new, or left by a run that was broken off here
		if err := disk.SyncParent(b.fs, b.opts.Path); err != nil {
			return err
		}
	}
	w := &appender{f: f}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.undo())
		}
	}()
	before, err := lead(f, f.size)
	if err == nil {
		_, err = io.WriteString(w, before)
	}
	for _, m := range batch {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		err = b.write(w, m)
	}
	if err != nil {
		return err
	}
	return f.Sync()
}

// write writes one message.
func (b *Mbox) write(w io.Writer, m *Message) error {
	p, known := b.places[m.ID]
	if !known {
		var err error
		if p, _, err = b.measure(m, -1); err != nil {
			return err
		}
	}
	staged, err := b.open(m)
	if err != nil {
		return err
	}
	defer staged.Close()
	if _, err := io.WriteString(w, p.fromLine()); err != nil {
		return err
	}
	return writeForm(w, m.ID, staged)
}

// appender writes at the end of a mbox, and counts.
type appender struct {
	f       *box
	written int64
}

// Write implements io.Writer.
func (a *appender) Write(p []byte) (int, error) {
	n, err := a.f.Write(p)
	a.written += int64(n)
	return n, err
}

// undo takes back what was written, if nobody wrote behind it without a lock.
func (a *appender) undo() error {
	info, err := a.f.Stat()
	if err != nil || a.written == 0 || info.Size() != a.f.size+a.written {
		return err
	}
	return a.f.Truncate(a.f.size)
}

// Discard implements Target.
func (b *Mbox) Discard(id string) {
	delete(b.places, id)
	b.staging.Discard(id)
}

// Close implements Target.
func (b *Mbox) Close() error { return nil }
