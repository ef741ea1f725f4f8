package maildir

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// errUnclear says that a listing is not enough to tell what became of the
// messages: something changed while it was made.
var errUnclear = errors.New("the Maildir changes")

// comparison finds what became of the messages of an index.
type comparison struct {
	*folder
	old    *index
	parts  []part
	byIno  []uint32 // a hash table of indices, plus 1
	state  []state
	now    map[int]*record // of those renamed or changed
	added  []dirent
	moment time.Time

	doubles bool // see single
}

// part is what a name is compared with.
type part struct {
	base, uid string
	tail      int
	ino       uint64
	ctime     int64
}

// state is what became of a message.
type state uint8

const (
	gone state = iota
	there
	changed
)

// compare tells how the catalog of old becomes that of the present by what a
// listing shows. A file whose name and inode are known is not looked at. Where
// that cannot be told the error is errUnclear.
func (f *folder) compare(ctx context.Context, old *index, l *listing, mark stamp) (*delta, error) {
	if !l.still || !l.exact && old.count == 0 {
		return nil, errUnclear
	}
	c := &comparison{folder: f, old: old, moment: f.now(), now: make(map[int]*record)}
	c.prepare(l)
	for i := range l.entries {
		if err := c.see(&l.entries[i]); err != nil {
			return nil, err
		}
	}
	added, err := c.measureAdded(ctx)
	if err != nil {
		return nil, err
	}
	d := &delta{doubles: c.doubles}
	for i, s := range c.state {
		switch s {
		case gone:
			// A name can be missed while it changes.
			if !l.exact {
				return nil, errUnclear
			}
			d.changed = append(d.changed, change{at: i})
		case changed:
			d.changed = append(d.changed, change{i, c.now[i]})
		}
	}
	if len(added) == 0 {
		return d, nil
	}
	names, err := f.readUIDL(mark)
	if err != nil {
		return nil, err
	}
	c.place(d, added, names)
	return d, nil
}

// prepare makes the table of what is known, of which the places that were not
// read are there.
func (c *comparison) prepare(l *listing) {
	c.parts, c.state = make([]part, c.old.count), make([]state, c.old.count)
	size := 8
	for size < 2*c.old.count {
		size *= 2
	}
	c.byIno = make([]uint32, size)
	k := c.old.cursor(0)
	for it := (item{}); k.next(&it); {
		i := k.at - 1
		c.parts[i] = part{it.base, it.uid, it.tail, it.ino, it.ctime}
		if !l.read[c.old.tails[it.tail].place] {
			c.state[i] = there
		}
		at := c.slot(it.ino)
		for c.byIno[at] != 0 {
			at = (at + 1) & (size - 1)
		}
		c.byIno[at] = uint32(i) + 1
	}
}

func (c *comparison) slot(ino uint64) int {
	return int(ino*0x9E3779B97F4A7C15>>32) & (len(c.byIno) - 1)
}

// find gives the index of the message with that identity, below 0 if there is
// none.
func (c *comparison) find(base string, ino uint64) int {
	for at := c.slot(ino); c.byIno[at] != 0; at = (at + 1) & (len(c.byIno) - 1) {
		if i := int(c.byIno[at]) - 1; c.parts[i].ino == ino && c.parts[i].base == base {
			return i
		}
	}
	return -1
}

// see takes in one entry.
func (c *comparison) see(e *dirent) error {
	if e.kind == kindOther {
		return nil
	}
	base := e.base()
	i := -1
	if e.kind == kindRegular {
		if i = c.find(base, e.ino); i < 0 {
			c.added = append(c.added, *e)
			return nil
		}
		p := &c.parts[i]
		t := &c.old.tails[p.tail]
		if t.place == e.place && t.flags == e.name[len(base):] && p.ctime != unsure && c.moment.UnixNano()-p.ctime > int64(c.young) {
			c.keep(i, e.place)
			return nil
		}
	}
	var st unix.Stat_t
	if err := c.sys.lstat(c.dirs[e.place], e.name, &st); missing(err) {
		return errUnclear
	} else if err != nil {
		return err
	}
	if st.Ino != e.ino {
		return errUnclear // the file that was listed may be elsewhere
	}
	if !regular(&st) {
		return nil
	}
	if i = c.find(base, st.Ino); i < 0 {
		c.added = append(c.added, dirent{e.entry, st.Ino, kindRegular})
		return nil
	}
	return c.seeAgain(i, e.entry, &st)
}

// seeAgain takes in a message that is known, under the same name or another.
func (c *comparison) seeAgain(i int, e entry, st *unix.Stat_t) error {
	r := c.old.at(i)
	if !r.same(st) {
		c.added = append(c.added, dirent{e, st.Ino, kindRegular}) // to be read, and to take its place
		return nil
	}
	switch {
	case r.entry == e:
		c.keep(i, e.place)
		return nil
	case c.state[i] == changed && c.now[i].place >= e.place, c.state[i] == there && r.place >= e.place:
		c.doubles = true
		return nil
	}
	c.doubles = c.doubles || c.state[i] != gone
	c.change(i, r.renamed(e))
	return nil
}

// keep notes that a message is where it was.
func (c *comparison) keep(i int, p place) {
	switch {
	case c.state[i] == gone:
		c.state[i] = there
	case c.state[i] == changed:
		if c.doubles = true; p >= c.now[i].place {
			c.state[i] = there
		}
	}
}

func (c *comparison) change(i int, r *record) {
	r.uid = c.parts[i].uid
	c.state[i], c.now[i] = changed, r
}

// measureAdded reads the files that are not known, and gives their records.
func (c *comparison) measureAdded(ctx context.Context) ([]record, error) {
	if len(c.added) == 0 {
		return nil, nil
	}
	records, errs := make([]record, len(c.added)), make([]error, len(c.added))
	all := make([]int, len(c.added))
	for i := range all {
		all[i] = i
	}
	c.measureAll(ctx, c.added, all, records, errs)
	added := make([]record, 0, len(records))
	found := make(map[identity]int, len(c.added))
	for i := range records {
		r, err := &records[i], errs[i]
		switch {
		case missing(err):
			return nil, errUnclear
		case errors.Is(err, errNoMessage):
		case err != nil:
			return nil, err
		case r.ino != c.added[i].ino:
			return nil, errUnclear // the file that was listed may be elsewhere
		default:
			if at := c.find(r.base(), r.ino); at < 0 {
				added = single(added, found, r, &c.doubles)
			} else {
				c.doubles = c.doubles || c.state[at] != gone
				if c.state[at] != changed || c.now[at].place < r.place {
					c.change(at, r)
				}
			}
		}
	}
	return added, nil
}

// place gives the messages that came UIDs, and puts them behind the others,
// or in the room of those whose UIDs they have.
func (c *comparison) place(d *delta, added []record, names *uidl) {
	added = byAge(added)
	taken := c.taken(len(added))
	assign(added, nil, names, taken)
	room := make(map[string]int)
	if len(d.changed) > 0 {
		for i, s := range c.state {
			if s == gone {
				room[c.parts[i].uid] = i
			}
		}
	}
	if len(room) == 0 {
		d.added = added
		return
	}
	for i := range added {
		r := &added[i]
		at, found := room[r.uid]
		if !found {
			d.added = append(d.added, *r)
			continue
		}
		n, _ := slices.BinarySearchFunc(d.changed, at, func(c change, at int) int { return cmp.Compare(c.at, at) })
		d.changed[n].now = r
	}
}

// taken gives what tells whether a message that is there still has a UID.
func (c *comparison) taken(count int) func(uid string) bool {
	if count > 8 {
		uids := make(map[string]bool, len(c.parts))
		for i := range c.parts {
			uids[c.parts[i].uid] = c.state[i] != gone
		}
		return func(uid string) bool { return uids[uid] }
	}
	return func(uid string) bool {
		for i := range c.parts {
			if c.state[i] != gone && c.parts[i].uid == uid {
				return true
			}
		}
		return false
	}
}
