package maildir

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// rounds bounds how often names that vanished are looked for; and believed, how
// often those that another file has than was listed, which may be elsewhere:
// there are file systems whose listings always give other inodes.
const (
	rounds   = 8
	believed = 2
)

// sweeping is how long what is old may stay where folders need no listing.
const sweeping = time.Hour

// identity tells one file from another: names of messages are unique, and
// where they are not, inodes are.
type identity struct {
	base string
	ino  uint64
}

// load finds the messages of a Maildir, in order, with sizes and UIDs, and
// brings the index up to date. Where the stamps are those of the index, and it
// is settled, no directory is read; and where memory holds what the file of
// the index does, no file. The session lock must be held.
func (s *Store) load(ctx context.Context, f *folder) (*index, error) {
	old, w, err := s.remembered(f)
	if err != nil {
		return nil, err
	}
	mark, err := s.takeOver(f, old)
	if err != nil {
		return nil, err
	}
	began := f.now()
	present, err := f.stamps()
	if err != nil {
		return nil, err
	}
	if old.settled == [2]bool{true, true} && old.stamps == present && old.mark == mark {
		s.cache.put(f.name, old, w)
		return old, nil
	}
	// W goes where it cannot be kept: what it told is told once.
	defer func() { s.watches.end(w) }()
	if err := f.openDirs(); err != nil {
		return nil, err
	}
	last, err := f.importOrder()
	if err != nil {
		return nil, err
	}
	var now *index
	var d *delta
	if w != nil && old.mark == mark {
		if names, ok := s.watches.take(w, present); ok {
			if now, d, err = f.follow(ctx, old, names, began, present); now != nil && (last.hasAnyOf(d.added) || !s.watches.still(w, names)) {
				now = nil
			}
		}
	}
	followed := now != nil
	if !followed {
		s.watches.end(w)
		if w = nil; s.cache.limit > 0 && old.count >= f.watchFrom {
			w = s.watches.begin(f)
		}
		now, d, err = f.update(ctx, old, mark, last)
	}
	if err != nil {
		return nil, err
	}
	if now.swept = old.swept; !followed || f.now().Sub(old.swept) > sweeping {
		now.swept = f.now()
		f.sweep(now.swept)
		f.expire(now.swept)
	}
	if now.file = old.file; !now.written(old, d) {
		if err := f.writeIndex(now, old.file, d); err != nil {
			s.log.Warn("index not written, the next login reads the messages again", "maildir", f.name, "error", err)
		}
	}
	if s.cache.put(f.name, now, w) {
		w = nil
	}
	return now, nil
}

// remembered gives the index: the one in memory, if it is what the file
// holds, and what watches the Maildir since; else the file's.
func (s *Store) remembered(f *folder) (*index, *watch, error) {
	if x, w := s.cache.get(f.name); x != nil {
		file, err := f.indexFile()
		if err == nil && file.stamp == x.file.stamp && file.size == x.file.size {
			return x, w, nil
		}
		s.cache.drop(f.name)
	}
	x, err := f.readIndex()
	return x, nil, err
}

// written tells whether the file of old says all that x does.
func (x *index) written(old *index, d *delta) bool {
	return d != nil && len(d.changed)+len(d.added) == 0 && old.file.base > 0 &&
		x.stamps == old.stamps && x.settled == old.settled && x.mark == old.mark
}

// update makes the index of the present from an old one, and tells how its
// catalog comes from the old one's; nil if that is not known. Last is the order
// of an import that has not ended.
func (f *folder) update(ctx context.Context, old *index, mark stamp, last order) (*index, *delta, error) {
	var first *listing
	if old.mark == mark || old.count == 0 {
		l, err := f.pass(ctx, old)
		if err != nil {
			return nil, nil, err
		}
		d, err := f.compare(ctx, old, l, mark)
		if err == nil && !last.hasAnyOf(d.added) {
			if d.doubles {
				l.settled = [2]bool{}
			}
			return &index{stamps: l.stamps, settled: l.settled, mark: mark, catalog: old.catalog.apply(d), doubles: d.doubles}, d, nil
		} else if err != nil && err != errUnclear {
			return nil, nil, err
		}
		first = l
	}
	names, err := f.readUIDL(mark)
	if err != nil {
		return nil, nil, err
	}
	now := &index{mark: mark}
	known := old.catalog.records()
	records, err := f.examine(ctx, known, first, now)
	if err != nil {
		return nil, nil, err
	}
	now.catalog = newCatalog(last.sort(arrange(records, known, names), known))
	return now, nil, nil
}

// examine lists the Maildir, and looks at every file. One that was renamed
// between the listing and the look at it is looked for again; one that is not
// found is gone; one that is there and cannot be read makes the whole fail,
// for a message that is not listed is one that clients take for deleted.
func (f *folder) examine(ctx context.Context, old []record, first *listing, now *index) ([]record, error) {
	l, err := f.list(ctx, first)
	if err != nil {
		return nil, err
	}
	now.stamps, now.settled = l.stamps, l.settled
	known := make(map[identity]*record, len(old))
	for i := range old {
		r := &old[i]
		known[identity{r.base(), r.ino}] = r
	}
	var all []record
	found := make(map[identity]int, len(l.entries))
	doubles := false
	pending := l.entries
	for round := range rounds {
		lost := make(map[string]bool)
		records, errs := f.lookAll(ctx, pending, known)
		for i, e := range pending {
			switch r, err := &records[i], errs[i]; {
			case missing(err):
				lost[e.base()] = true
			case errors.Is(err, errNoMessage):
			case err != nil:
				return nil, err
			default:
				all = single(all, found, r, &doubles)
				if r.ino != e.ino && round < believed {
					lost[e.base()] = true
				}
			}
		}
		if len(lost) == 0 {
			if now.doubles = doubles; doubles {
				now.settled = [2]bool{}
			}
			return all, nil
		}
		now.settled = [2]bool{}
		if l, err = f.list(ctx, nil); err != nil {
			return nil, err
		}
		pending = nil
		for _, e := range l.entries {
			if lost[e.base()] {
				pending = append(pending, e)
			}
		}
	}
	return nil, errors.New("another program renames messages faster than they can be listed")
}

// single adds a record to those found. Two names of one file are one message:
// a move by link and unlink passes through that state. As only one is
// remembered, no folder is settled while doubles are about: if that name went,
// the other could be in the folder that did not change.
func single(all []record, found map[identity]int, r *record, doubles *bool) []record {
	id := identity{r.base(), r.ino}
	at, twice := found[id]
	if !twice {
		found[id] = len(all)
		return append(all, *r)
	}
	*doubles = true
	if r.place > all[at].place {
		all[at] = *r
	}
	return all
}

// lookAll makes the records of entries, from what is known of the files or by
// reading them.
func (f *folder) lookAll(ctx context.Context, entries []dirent, known map[identity]*record) ([]record, []error) {
	records, errs := make([]record, len(entries)), make([]error, len(entries))
	unknown := make([]int, 0, len(entries)-min(len(entries), len(known)))
	for i := range entries {
		if err := ctx.Err(); err != nil {
			errs[i] = err
			return records, errs
		}
		r, err := f.look(entries[i].entry, known)
		switch {
		case err == nil && r == nil:
			unknown = append(unknown, i)
		case err == nil:
			records[i] = *r
		default:
			errs[i] = err
		}
	}
	f.measureAll(ctx, entries, unknown, records, errs)
	return records, errs
}

// look makes the record of an entry from what is known of the file, nil if
// nothing is.
func (f *folder) look(e entry, known map[identity]*record) (*record, error) {
	var st unix.Stat_t
	if err := f.sys.lstat(f.dirs[e.place], e.name, &st); err != nil {
		return nil, err
	}
	if !regular(&st) {
		return nil, errNoMessage
	}
	if k := known[identity{e.base(), st.Ino}]; k != nil && k.same(&st) {
		return k.renamed(e), nil
	}
	return nil, nil
}

// renamed gives the record of the same file under another name.
func (r *record) renamed(e entry) *record {
	now := *r
	now.entry, now.uid = e, ""
	return &now
}
