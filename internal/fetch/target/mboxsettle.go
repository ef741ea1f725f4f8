package target

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"strings"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
)

// state is what there is of a message in an mbox.
type state uint8

const (
	foreign state = iota // it is not there
	whole                // it is
	changed              // it is there, and a mail program wrote in it
	torn                 // its beginning is there, and then nothing
	broken               // its beginning is there, and then another message
)

// Settle implements Target. It looks where the note says, and then for the
// message's id everywhere, since another program may have been faster, or have
// taken messages out.
func (b *Mbox) Settle(ctx context.Context, m *Message, note string) (Outcome, error) {
	p := parsePlace(note)
	if p.offset < 0 {
		e := envelope{}
		if staged, err := b.open(m); err == nil {
			e, _ = readEnvelope(io.NewSectionReader(staged, 0, m.Octets))
			staged.Close()
		}
		p = newPlace(-1, e)
	}
	b.places[m.ID] = p
	f, err := b.lock(ctx, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return b.settle(m), nil
	} else if err != nil {
		return Absent, err
	}
	defer f.Close()
	there, err := b.look(f, m, p)
	switch {
	case err != nil:
		return Absent, err
	case !there:
		return b.settle(m), nil
	}
	// It may have come there a moment before the power failed.
	return Delivered, errors.Join(f.Sync(), disk.SyncParent(b.fs, b.opts.Path))
}

// look tells whether a message is in an mbox. What is torn is cut off.
func (b *Mbox) look(f *box, m *Message, p place) (there bool, err error) {
	staged := b.whole(m)
	check := func(from int64, first string) (state, error) {
		s, err := b.compare(f, from, first, m, staged)
		if err == nil && s == torn {
			f.size = from
			if err = f.Truncate(from); err == nil {
				err = f.Sync()
			}
		}
		return s, err
	}
	if p.offset >= 0 && p.offset < f.size {
		if s, err := check(p.offset, p.fromLine()); err != nil || s == torn || s == whole {
			return s == whole, err
		}
	}
	found, err := find(f, f.size, m.ID)
	if err != nil {
		return false, err
	}
	for _, at := range found {
		s, err := check(at.offset, at.first)
		if err != nil || s == whole || s == changed {
			return err == nil, err
		}
	}
	return false, nil
}

// found is a message in an mbox.
type found struct {
	offset int64
	first  string // its first line
}

// find finds the messages with an id.
func find(f io.ReaderAt, size int64, id string) (all []found, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 64<<10)
	want := strings.TrimSuffix(idLine(id), "\n")
	var at int64
	var before *found // the line before this one, if it begins a message
	for start := true; ; {
		line, err := r.ReadSlice('\n')
		if start && before != nil && string(bytes.TrimRight(line, "\r\n")) == want {
			all = append(all, *before)
		}
		if start {
			if before = nil; bytes.HasPrefix(line, fromWord) {
				before = &found{at, string(line)}
			}
		}
		at += int64(len(line))
		start = err == nil
		switch err {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			return all, nil
		default:
			return nil, err
		}
	}
}

// compare tells what there is of a message at an offset, if its first line is
// the one given there.
func (b *Mbox) compare(f *box, offset int64, first string, m *Message, staged bool) (state, error) {
	c := &comparer{r: bufio.NewReaderSize(io.NewSectionReader(f, offset, f.size-offset), 64<<10)}
	io.WriteString(c, first)
	head := idLine(m.ID)
	if !staged {
		io.WriteString(c, head)
		if c.result == nil {
			return b.sum(c.r, m)
		}
	} else if err := b.feed(c, m); err != nil && err != c.result {
		return foreign, err
	}
	switch {
	case c.result == nil:
		return whole, nil
	case c.result == io.EOF:
		return torn, nil
	case c.result != errDiffers:
		return foreign, c.result
	}
	if zeros, err := onlyZeros(f, offset+c.n, f.size); zeros || err != nil {
		return torn, err
	}
	if c.n < int64(len(first)+len(head)) {
		return foreign, nil
	}
	// A mail program adds to the header. Whoever has all lines of a message has
	// the message.
	lines := newLineFinder(f, offset+int64(len(first)), f.size)
	if err := b.feed(lines, m); err == errDiffers {
		return broken, nil
	} else if err != nil {
		return foreign, err
	}
	return changed, nil
}

// feed writes the form of a message behind its first line.
func (b *Mbox) feed(w io.Writer, m *Message) error {
	f, err := b.open(m)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeForm(w, m.ID, f)
}

var errDiffers = errors.New("it differs")

// comparer compares what is written to it with what a reader gives.
type comparer struct {
	r      *bufio.Reader
	n      int64 // octets that are the same
	result error // errDiffers, io.EOF where the reader ends first, or its error
}

// Write implements io.Writer.
func (c *comparer) Write(p []byte) (int, error) {
	for done := 0; done < len(p) && c.result == nil; {
		got, err := c.r.Peek(min(len(p)-done, c.r.Size()))
		same := 0
		for same < len(got) && got[same] == p[done+same] {
			same++
		}
		c.n += int64(same)
		done += same
		c.r.Discard(same)
		switch {
		case same < len(got):
			c.result = errDiffers
		case err != nil && err != bufio.ErrBufferFull:
			c.result = err
		}
	}
	if c.result != nil {
		return 0, c.result
	}
	return len(p), nil
}

// onlyZeros tells whether there is nothing but zeros: a file system may make
// them of what was on its way when the power failed.
func onlyZeros(f io.ReaderAt, from, to int64) (bool, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, to-from), 64<<10)
	for {
		chunk, err := r.Peek(r.Size())
		if len(bytes.Trim(chunk, "\x00")) > 0 {
			return false, nil
		}
		r.Discard(len(chunk))
		if err == io.EOF {
			return true, nil
		} else if err != nil {
			return false, err
		}
	}
}

// lineFinder takes the form of a message and finds its lines in a message of an
// mbox, in their order, whatever stands between them. The last, which is blank,
// may be missing.
type lineFinder struct {
	r       *bufio.Reader
	seed    maphash.Seed
	line    maphash.Hash // of the form, as far as it came
	before  uint64       // that of the line before it
	pending bool         // which has not been looked for
}

func newLineFinder(f io.ReaderAt, from, to int64) *lineFinder {
	l := &lineFinder{r: bufio.NewReaderSize(io.NewSectionReader(f, from, to-from), 64<<10), seed: maphash.MakeSeed()}
	l.line.SetSeed(l.seed)
	return l
}

// Write implements io.Writer. The error is errDiffers where a line is missing.
func (l *lineFinder) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if l.pending {
			if err := l.find(l.before); err != nil {
				return 0, err
			}
			l.pending = false
		}
		l.line.Write(line)
		if line[len(line)-1] == '\n' {
			l.before, l.pending = l.line.Sum64(), true
			l.line.Reset()
		}
	}
	return len(p), nil
}

// find reads lines of the mbox up to one with this hash.
func (l *lineFinder) find(want uint64) error {
	var line maphash.Hash
	line.SetSeed(l.seed)
	for start := true; ; {
		chunk, err := l.r.ReadSlice('\n')
		if start && bytes.HasPrefix(chunk, fromWord) || err == io.EOF {
			return errDiffers
		}
		line.Write(chunk)
		if start = err == nil; start {
			if line.Sum64() == want {
				return nil
			}
			line.Reset()
		} else if err != bufio.ErrBufferFull {
			return err
		}
	}
}

// sum tells whether a message is whole that is staged no more, by its checksum.
// Whether one that is not was torn or changed cannot be told: it is retrieved
// again, and nothing is cut off.
func (b *Mbox) sum(r *bufio.Reader, m *Message) (state, error) {
	hash := sha256.New()
	left := m.Octets
	for start := true; left > 0; {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return foreign, err
		}
		if start {
			switch word := bytes.TrimLeft(line, ">"); {
			case !bytes.HasPrefix(word, fromWord):
			case len(word) == len(line):
				return foreign, nil // another message begins
			default:
				line = line[1:]
			}
		}
		line = line[:min(int64(len(line)), left)]
		hash.Write(line)
		left -= int64(len(line))
		if start = err == nil; err == io.EOF {
			break
		}
	}
	if left == 0 && Sum(hash.Sum(nil)[:len(Sum{})]) == m.Sum {
		return whole, nil
	}
	return foreign, nil
}

var _ disk.File = (*box)(nil)
