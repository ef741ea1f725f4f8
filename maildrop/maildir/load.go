package maildir

import (
	"bytes"
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// rounds bounds how often names that vanished are looked for.
const rounds = 8

// identity tells one file from another: names of messages are unique, and
// where they are not, inodes are.
type identity struct {
	base string
	ino  uint64
}

// load finds the messages of a Maildir, in order, with sizes and UIDs, and
// keeps the index up to date. It reads the files that the index does not know.
func (s *Store) load(ctx context.Context, f *folder) ([]record, error) {
	old := f.readIndex()
	mark, err := s.takeOver(f, old)
	if err != nil {
		return nil, err
	}
	present, err := f.stamps()
	if err != nil {
		return nil, err
	}
	if old.settled && old.stamps == present && old.mark == mark {
		return old.records, nil
	}
	names, err := f.readUIDL(mark)
	if err != nil {
		return nil, err
	}
	now := &index{mark: mark}
	if err := f.examine(ctx, old, now); err != nil {
		return nil, err
	}
	f.sweep(time.Now())
	f.expire(time.Now())
	now.records = arrange(now.records, old.records, names)
	if encoded := now.encode(); !bytes.Equal(encoded, old.encoded) {
		if err := f.replaceFile(indexName, encoded, false); err != nil {
			s.log.Warn("index not written, the next login reads the messages again", "maildir", f.name, "error", err)
		}
	}
	return now.records, nil
}

// examine lists the Maildir into now. A file that was renamed between the
// listing and the look at it is looked for again; one that is not found is
// gone; one that is there and cannot be read makes the whole fail, for a
// message that is not listed is one that clients take for deleted.
func (f *folder) examine(ctx context.Context, old, now *index) error {
	l, err := f.list(ctx)
	if err != nil {
		return err
	}
	now.stamps, now.settled = l.stamps, l.settled
	known := make(map[identity]*record, len(old.records))
	for i := range old.records {
		r := &old.records[i]
		known[identity{r.base(), r.ino}] = r
	}
	found := make(map[identity]int, len(l.entries))
	pending := l.entries
	for range rounds {
		lost := make(map[string]bool)
		for _, e := range pending {
			r, err := f.look(ctx, e, known)
			switch {
			case missing(err):
				lost[e.base()] = true
				continue
			case errors.Is(err, errNoMessage):
				continue
			case err != nil:
				return err
			}
			// Two names of one file are one message: a move by link and
			// unlink passes through that state.
			id := identity{e.base(), r.ino}
			if at, twice := found[id]; !twice {
				found[id] = len(now.records)
				now.records = append(now.records, r)
			} else if r.place > now.records[at].place {
				now.records[at] = r
			}
		}
		if len(lost) == 0 {
			return nil
		}
		now.settled = false
		if l, err = f.list(ctx); err != nil {
			return err
		}
		pending = pending[:0:0]
		for _, e := range l.entries {
			if lost[e.base()] {
				pending = append(pending, e)
			}
		}
	}
	return errors.New("another program renames messages faster than they can be listed")
}

// look makes the record of an entry, from what is known of the file or by
// reading it.
func (f *folder) look(ctx context.Context, e entry, known map[identity]*record) (record, error) {
	var st unix.Stat_t
	if err := f.sys.lstat(f.dirs[e.place], e.name, &st); err != nil {
		return record{}, err
	}
	if !regular(&st) {
		return record{}, errNoMessage
	}
	if k := known[identity{e.base(), st.Ino}]; k != nil && k.same(&st) {
		return record{entry: e, ino: k.ino, octets: k.octets, mtime: k.mtime, ctime: k.ctime, size: k.size, when: k.when}, nil
	}
	return f.measure(ctx, e)
}
