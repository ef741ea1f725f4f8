package maildir

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Maildir of many messages that changes is expensive to list. So its new/
// and cur/ are watched once it has changed, and the kernel tells which names
// changed since. That is believed only for what came or was renamed, and only
// on file systems of this machine: where a message is gone, or anything is not
// as expected, the folders are listed. Watching needs memory for an index.
const (
	maxWatched = 1024 // Maildirs, the kernel keeps about 2 kB for each
	maxNames   = 32   // that changed, until a listing is cheaper
)

// notifier tells which names changed in folders. It is an interface for tests.
type notifier interface {
	// add begins to watch the folder dir.
	add(dir int) (wd int, err error)
	remove(wd int)
	// events calls each for what happened since the last call, in any folder:
	// a name came, or went. Where wd is below 0, some of that was lost.
	events(each func(wd int, lost bool, name string, came bool))
}

// watches are the Maildirs watched by a Store.
type watches struct {
	mu   sync.Mutex
	from notifier // nil where there is none
	byWD map[int]*watch
}

// watch is what happened in a Maildir since its index was made.
type watch struct {
	wds   [2]int
	inos  [2]uint64
	names map[entry]bool // that changed; true: it came, as far as was told
	lost  bool           // it is of no use any more
}

// told is a name that changed. Came tells whether the last that was told of it
// is that it came, and not that it went.
type told struct {
	entry
	came bool
}

func newWatches(from notifier) *watches {
	return &watches{from: from, byWD: make(map[int]*watch)}
}

// begin watches a Maildir whose folders are open. It must come before the
// listing of the index that it follows. It gives nil where that cannot be.
func (ws *watches) begin(f *folder) *watch {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.from == nil || len(ws.byWD) >= 2*maxWatched {
		return nil
	}
	w := &watch{wds: [2]int{-1, -1}, names: make(map[entry]bool)}
	for p, dir := range f.dirs {
		var st unix.Stat_t
		wd, err := ws.from.add(dir)
		if err == nil && ws.byWD[wd] != nil { // two names of one Maildir
			return ws.undo(w)
		}
		if err == nil {
			w.wds[p], ws.byWD[wd] = wd, w
			err = f.sys.fstat(dir, &st)
		}
		if err != nil {
			return ws.undo(w)
		}
		w.inos[p] = st.Ino
	}
	return w
}

func (ws *watches) undo(w *watch) *watch {
	ws.remove(w)
	return nil
}

func (ws *watches) remove(w *watch) {
	for _, wd := range w.wds {
		if wd >= 0 && ws.byWD[wd] == w {
			delete(ws.byWD, wd)
			ws.from.remove(wd)
		}
	}
	w.lost = true
}

// end stops watching. W may be nil.
func (ws *watches) end(w *watch) {
	if w == nil {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.remove(w)
}

// hear takes in what happened since the last call. It is called with mu held.
func (ws *watches) hear() {
	ws.from.events(func(wd int, lost bool, name string, came bool) {
		if wd < 0 {
			for _, w := range ws.byWD {
				w.lost = true
			}
			return
		}
		if w := ws.byWD[wd]; w != nil {
			p := inNew
			if w.wds[inCur] == wd {
				p = inCur
			}
			w.names[entry{p, name}] = came
			w.lost = w.lost || lost || len(w.names) > maxNames
		}
	})
}

// take gives the names that changed since the index of w was made, or since
// the last call. It tells false where they are not known.
func (ws *watches) take(w *watch, present stamps) ([]told, bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.hear()
	if w.lost || w.inos != [2]uint64{present[inNew].ino, present[inCur].ino} {
		return nil, false
	}
	names := make([]told, 0, len(w.names))
	for e, came := range w.names {
		if e.name != "" && e.name[0] != '.' {
			names = append(names, told{e, came})
		}
	}
	clear(w.names)
	slices.SortFunc(names, func(a, b told) int { return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.name, b.name)) })
	return names, true
}

// still tells whether no name with a base of those that take gave has changed
// since. A name may have been used again before it was looked at, and what had
// it be elsewhere, of which nothing was told then: it would be missed. What did
// change stays for the next call of take.
func (ws *watches) still(w *watch, names []told) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.hear()
	bases := make(map[string]bool, len(names))
	for _, t := range names {
		bases[t.base()] = true
	}
	for e := range w.names {
		if bases[e.base()] {
			return false
		}
	}
	return !w.lost
}

// follow makes the index of the present from an old one and the names that
// changed since. The stamps and began, the time, are from before the names were
// taken. Where it cannot be told the error is errUnclear.
func (f *folder) follow(ctx context.Context, old *index, names []told, began time.Time, present stamps) (*index, *delta, error) {
	if len(names) == 0 && old.stamps != present || old.doubles {
		return nil, nil, errUnclear
	}
	if old.filter == nil && len(names) > 0 {
		old = old.filtered()
	}
	known := old.withBases(names)
	d := &delta{}
	var added []dirent
	live := make(map[string]bool, len(names))
	var vanished []entry
	for _, t := range names {
		e := t.entry
		var st unix.Stat_t
		err := f.sys.lstat(f.dirs[e.place], e.name, &st)
		switch {
		case missing(err) && t.came:
			// What had that name may have another by now, of which nothing was
			// told when the names were taken. A name that is live says nothing
			// of it: two files can have one base.
			return nil, nil, errUnclear
		case missing(err):
			vanished = append(vanished, e)
			continue
		case err != nil:
			return nil, nil, err
		case !regular(&st):
			continue
		}
		live[e.base()] = true
		k := known[identity{e.base(), st.Ino}]
		switch {
		case k == nil:
			added = append(added, dirent{e, st.Ino, kindRegular})
		case k.found || !k.same(&st):
			return nil, nil, errUnclear
		default:
			k.found = true
			if k.entry != e {
				r := k.renamed(e)
				r.uid = k.uid
				d.changed = append(d.changed, change{k.at, r})
			}
		}
	}
	for _, e := range vanished {
		// What had that name has another, which was told too, or is gone.
		if !live[e.base()] {
			return nil, nil, errUnclear
		}
	}
	for _, k := range known {
		// A name that did not change has its message still; but then this was
		// the first of two names of one file.
		if !k.found && k.named || k.found && !k.named {
			return nil, nil, errUnclear
		}
	}
	if err := f.admitAll(ctx, old, d, added); err != nil {
		return nil, nil, err
	}
	now := &index{stamps: present, mark: old.mark, catalog: old.catalog.apply(d.sorted()), filter: old.filter.with(d.added)}
	for p, s := range present {
		now.settled[p] = began.Sub(s.latest()) > max(f.settling, f.tick)
	}
	return now, d, nil
}

// filtered gives the index with its filter.
func (x *index) filtered() *index {
	with := *x
	with.filter = newFilter(x.catalog)
	return &with
}

// candidate is a message that a name that changed may be of.
type candidate struct {
	record
	at    int
	named bool // its own name is one of those that changed
	found bool
}

// withBases gives the messages whose names begin as those do.
func (x *index) withBases(names []told) map[identity]*candidate {
	bases, changed := make(map[string]bool, len(names)), make(map[entry]bool, len(names))
	for _, e := range names {
		bases[e.base()], changed[e.entry] = true, true
	}
	known := make(map[identity]*candidate)
	if !slices.ContainsFunc(names, func(t told) bool { return x.filter.has(t.base()) }) {
		return known
	}
	k := x.cursor(0)
	for it := (item{}); k.next(&it); {
		if bases[it.base] {
			c := &candidate{record: x.record(&it), at: k.at - 1}
			c.named = changed[c.entry]
			known[identity{it.base, it.ino}] = c
		}
	}
	return known
}

// admitAll reads the files that came, and adds them to d.
func (f *folder) admitAll(ctx context.Context, old *index, d *delta, entries []dirent) error {
	if len(entries) == 0 {
		return nil
	}
	found := make(map[identity]int)
	for _, e := range entries {
		r, err := f.measure(ctx, e.entry)
		switch {
		case goneOrOther(err):
			return errUnclear
		case err != nil:
			return err
		}
		doubles := false
		if d.added = single(d.added, found, &r, &doubles); doubles || r.ino != e.ino {
			return errUnclear
		}
	}
	names, err := f.readUIDL(old.mark)
	if err != nil {
		return err
	}
	d.added = byAge(d.added)
	assign(d.added, nil, names, func(uid string) bool {
		if !old.filter.has(uid) {
			return false
		}
		k := old.cursor(0)
		for it := (item{}); k.next(&it); {
			if it.uid == uid {
				return true
			}
		}
		return false
	})
	return nil
}
