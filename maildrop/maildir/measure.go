package maildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// readBuffers hold what is read at once, of messages and of directories.
var readBuffers = sync.Pool{New: func() any { return new(make([]byte, 64<<10)) }}

// record is what is remembered of a message.
type record struct {
	entry
	ino    uint64
	octets int64  // of the file
	mtime  int64  // nanoseconds since 1970
	ctime  int64  // as it was measured, nanoseconds since 1970
	size   int64  // in the form of the wire
	uid    string // empty until it is assigned
	when   int64  // received, nanoseconds since 1970
}

// same tells whether st is of the file as it was when the record was made. An
// inode's number is given to another file as soon as it is free, so it alone
// says little.
func (r *record) same(st *unix.Stat_t) bool {
	return r.ino == st.Ino && r.octets == st.Size && r.mtime == st.Mtim.Nano()
}

// unchanged tells whether st is of the file as it was measured. A program can
// write to a file and set its mtime back, but not its ctime; which changes
// with the file's name, too, and so only says that the size may be wrong.
func (r *record) unchanged(st *unix.Stat_t) bool {
	return r.same(st) && r.ctime == st.Ctim.Nano()
}

// unsure is the ctime of a record that was made in the clock tick in which the
// file changed: what changed behind that would not show.
const unsure = 0

// errNoMessage is the error for a name that is no message: not a regular file.
var errNoMessage = errors.New("not a regular file")

// openMessage opens the regular file that e names.
func (f *folder) openMessage(e entry, st *unix.Stat_t) (int, error) {
	fd, err := f.sys.open(f.dirs[e.place], e.name, unix.O_RDONLY)
	switch {
	case errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO): // a symbolic link, a socket
		return -1, fmt.Errorf("%w: %w", errNoMessage, err)
	case err != nil:
		return -1, err
	}
	if err = f.sys.fstat(fd, st); err == nil && !regular(st) {
		err = errNoMessage
	}
	if err != nil {
		f.sys.close(fd)
		return -1, fmt.Errorf("%s: %w", e.name, err)
	}
	return fd, nil
}

// measure reads a message to its end and notes what is to be remembered.
func (f *folder) measure(ctx context.Context, e entry) (record, error) {
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	return f.measureWith(ctx, e, *buf)
}

// measureWith is measure with a buffer.
func (f *folder) measureWith(ctx context.Context, e entry, buf []byte) (record, error) {
	var st unix.Stat_t
	fd, err := f.openMessage(e, &st)
	if err != nil {
		return record{}, err
	}
	defer f.sys.close(fd)
	r := record{entry: e, ino: st.Ino, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
	r.date()
	if f.now().UnixNano()-r.ctime <= int64(f.tick) {
		r.ctime = unsure
	}
	var size maildrop.SizeCounter
	for {
		if err := ctx.Err(); err != nil {
			return record{}, err
		}
		n, err := f.sys.read(fd, buf)
		if err != nil {
			return record{}, temporary("message "+e.name, err)
		}
		size.Write(buf[:n])
		r.octets += int64(n)
		// What comes behind the size that it has is not there yet.
		if n == 0 || r.octets >= st.Size {
			r.size = size.Octets()
			return r, nil
		}
	}
}

// Reading many messages, as at the first sight of a Maildir.
const (
	manyMessages = 256 // and more are read by several at once
	readAtOnce   = 64  // messages, until others have their turn
)

// readers bounds how many read at once, over all Maildirs of the process.
var readers = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// measureAll measures the entries with the given indices. An error of one is
// its own; behind the first, others may be left out, with an error too.
func (f *folder) measureAll(ctx context.Context, entries []dirent, which []int, records []record, errs []error) {
	if len(which) < manyMessages {
		for n, i := range which {
			records[i], errs[i] = f.measure(ctx, entries[i].entry)
			if errs[i] != nil && !goneOrOther(errs[i]) {
				for _, i := range which[n+1:] {
					errs[i] = errs[which[n]]
				}
				return
			}
		}
		return
	}
	// In the order of the inodes, which is that on a disk.
	slices.SortFunc(which, func(a, b int) int { return cmp.Compare(entries[a].ino, entries[b].ino) })
	var wg sync.WaitGroup
	var next atomic.Int64
	work := func() {
		buf := readBuffers.Get().(*[]byte)
		defer readBuffers.Put(buf)
		for {
			readers <- struct{}{}
			from := int(next.Add(readAtOnce)) - readAtOnce
			for _, i := range which[min(from, len(which)):min(from+readAtOnce, len(which))] {
				records[i], errs[i] = f.measureWith(ctx, entries[i].entry, *buf)
			}
			<-readers
			if from >= len(which) {
				return
			}
		}
	}
	for range min(cap(readers), len(which)/readAtOnce) {
		wg.Go(work)
	}
	wg.Wait()
}

// file reads a message.
type file struct {
	sys    system
	fd     int
	name   string
	left   int64 // octets to come, where it was said how many there are
	closed bool
}

// Read implements io.Reader.
func (f *file) Read(p []byte) (int, error) {
	if f.closed {
		return 0, errClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.sys.read(f.fd, p)
	if err != nil {
		return n, temporary("message "+f.name, err)
	}
	if n == 0 {
		return 0, io.EOF
	}
	if f.left -= int64(n); f.left == 0 { // saves the read that says so
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (f *file) Close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	return f.sys.close(f.fd)
}
