package maildir

import (
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// entry is one name in new/ or cur/.
type entry struct {
	place place
	name  string
}

// base gives the part of the name that stays when flags change.
func (e entry) base() string { return baseOf(e.name) }

// baseOf cuts the flags off a file's name. Only ":" begins them: ";" and "!"
// are found in names of messages.
func baseOf(name string) string {
	base, _, _ := strings.Cut(name, ":")
	return base
}

// stamp tells one state of a directory from another.
type stamp struct {
	ino          uint64
	mtime, ctime int64 // nanoseconds since 1970
}

// stamps are those of new/ and cur/.
type stamps [2]stamp

// latest gives the time of the last change.
func (s stamps) latest() time.Time {
	return time.Unix(0, max(s[0].mtime, s[0].ctime, s[1].mtime, s[1].ctime))
}

// Directories carry the time of the clock tick in which they changed, so that
// two changes in one tick look like one.
const (
	// tick is longer than a tick of any kernel.
	tick = 20 * time.Millisecond
	// settling is how old a directory's last change must be for its stamp to
	// stand for its content. It allows for file systems that count in seconds.
	settling = 2 * time.Second
)

// passes bounds how often a listing is made that changes while it is made.
const passes = 5

// listing is what was found in new/ and cur/.
type listing struct {
	entries []entry
	stamps  stamps
	// exact says that no program changed the directories meanwhile, so that
	// the entries are all there was, and no more.
	exact bool
	// settled says that the listing stands for the directories as long as
	// their stamps are the same.
	settled bool
}

// stamps gives the present ones.
func (f *folder) stamps() (s stamps, err error) {
	for p, fd := range f.dirs {
		var st unix.Stat_t
		if err := f.sys.fstat(fd, &st); err != nil {
			return s, err
		}
		s[p] = stamp{ino: st.Ino, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
	}
	return s, nil
}

// list lists new/ and cur/. A name that changes while a directory is read may
// be missed, or come twice, so a pass during which something changed is
// followed by another, and what any of them saw counts. New/ is read first: a
// file moved to cur/ meanwhile is then found there. Names that are gone when
// they are looked at do no harm; a name missed would.
func (f *folder) list(ctx context.Context) (*listing, error) {
	l := &listing{}
	seen := make(map[entry]bool)
	for pass := range passes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		before, err := f.stamps()
		if err != nil {
			return nil, err
		}
		l.entries = l.entries[:0]
		for _, p := range []place{inNew, inCur} {
			if l.entries, err = f.read(p, l.entries); err != nil {
				return nil, err
			}
		}
		if l.stamps, err = f.stamps(); err != nil {
			return nil, err
		}
		age := began.Sub(before.latest())
		unchanged := before == l.stamps
		if unchanged && age > tick {
			l.exact, l.settled = true, age > f.settling
			return l, nil
		}
		for _, e := range l.entries {
			seen[e] = true
		}
		if unchanged && pass > 0 {
			break
		}
	}
	l.entries = l.entries[:0]
	for e := range seen {
		l.entries = append(l.entries, e)
	}
	return l, nil
}

// read appends the entries of one directory.
func (f *folder) read(p place, entries []entry) ([]entry, error) {
	names, err := f.names(f.dirs[p])
	for _, name := range names {
		entries = append(entries, entry{p, name})
	}
	return entries, named("readdir", p.String(), err)
}

// names gives the names in a directory. Hidden files are nobody's messages.
func (f *folder) names(dir int) ([]string, error) {
	names, err := f.allNames(dir)
	return slices.DeleteFunc(names, func(name string) bool { return name[0] == '.' }), err
}

// allNames gives the names in a directory, hidden ones too.
func (f *folder) allNames(dir int) (names []string, err error) {
	// A descriptor of its own has a position of its own.
	fd, err := f.sys.open(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.sys.close(fd)
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	for {
		n, err := f.sys.readDir(fd, *buf)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent((*buf)[:n], -1, names)
	}
}
