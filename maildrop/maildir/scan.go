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

// latest gives the time of the last change.
func (s stamp) latest() time.Time { return time.Unix(0, max(s.mtime, s.ctime)) }

// stamps are those of new/ and cur/.
type stamps [2]stamp

// latest gives the time of the last change.
func (s stamps) latest() time.Time {
	if a, b := s[inNew].latest(), s[inCur].latest(); a.After(b) {
		return a
	} else {
		return b
	}
}

// terms are what the times of files and directories are judged by. These carry
// the time of the clock tick in which they changed, so that two changes in one
// tick look like one.
type terms struct {
	now func() time.Time
	// tick is longer than a tick of any kernel.
	tick time.Duration
	// settling is how old a directory's last change must be for its stamp to
	// stand for its content. It allows for file systems that count in seconds.
	settling time.Duration
	// young is the age below which a file may still be in the making: it is
	// looked at again, though name and inode are known.
	young time.Duration
	// journalFrom is how many octets an index has that has a journal.
	journalFrom int64
	// watchFrom is how many messages a Maildir has that is watched.
	watchFrom int
}

var usual = terms{
	now:         time.Now,
	tick:        20 * time.Millisecond,
	settling:    2 * time.Second,
	young:       200 * time.Millisecond,
	journalFrom: 64 << 10,
	watchFrom:   1000,
}

// passes bounds how often a listing is made that changes while it is made.
const passes = 5

// kind is what a directory says of an entry.
type kind uint8

const (
	kindUnknown kind = iota // it does not say
	kindRegular
	kindOther
)

// dirent is an entry as a directory gives it.
type dirent struct {
	entry
	ino  uint64
	kind kind
}

// listing is what was found in new/ and cur/.
type listing struct {
	entries []dirent
	read    [2]bool // by place; one that was not read is as it was
	stamps  stamps
	// still says that the stamps were the same before and behind.
	still bool
	// exact says that no program changed the directories meanwhile, so that
	// the entries are all there was, and no more.
	exact bool
	// settled says of a place that the listing stands for it as long as its
	// stamp is the same.
	settled [2]bool
}

// stamps gives the present ones.
func (f *folder) stamps() (s stamps, err error) {
	for p, fd := range f.dirs {
		var st unix.Stat_t
		if fd >= 0 {
			err = f.sys.fstat(fd, &st)
		} else if err = f.sys.lstat(f.top, place(p).String(), &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			err = named("lstat", place(p).String(), errNotFolder)
		}
		if err != nil {
			return s, err
		}
		s[p] = stampOf(&st)
	}
	return s, nil
}

// pass lists new/ and cur/ once, but for those that stand as known says. New/
// is read first: a file moved to cur/ meanwhile is then found there.
func (f *folder) pass(ctx context.Context, known *index) (*listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	began := f.now()
	before, err := f.stamps()
	if err != nil {
		return nil, err
	}
	l := &listing{}
	for p := inNew; p <= inCur; p++ {
		if known != nil && known.settled[p] && known.stamps[p] == before[p] {
			l.settled[p] = true
			continue
		}
		l.read[p] = true
		if err := f.read(p, l); err != nil {
			return nil, err
		}
	}
	if l.stamps, err = f.stamps(); err != nil {
		return nil, err
	}
	l.still = before == l.stamps
	l.exact = l.still && began.Sub(before.latest()) > f.tick
	for p, s := range before {
		l.settled[p] = l.still && (l.settled[p] || began.Sub(s.latest()) > max(f.settling, f.tick))
	}
	return l, nil
}

// list lists new/ and cur/. A name that changes while a directory is read may
// be missed, or come twice, so a pass during which something changed is
// followed by another, and what any of them saw counts. Names that are gone
// when they are looked at do no harm; a name missed would. A pass that was
// made already may be first.
func (f *folder) list(ctx context.Context, first *listing) (*listing, error) {
	var seen map[dirent]bool
	var all []dirent
	l := first
	for pass := range passes {
		if pass > 0 || first == nil || first.read != [2]bool{true, true} {
			var err error
			if l, err = f.pass(ctx, nil); err != nil {
				return nil, err
			}
		}
		if l.exact {
			return l, nil
		}
		if seen == nil {
			seen = make(map[dirent]bool, len(l.entries))
		}
		for _, e := range l.entries {
			if !seen[e] {
				seen[e] = true
				all = append(all, e)
			}
		}
		if l.still && pass > 0 {
			break
		}
	}
	l.settled = [2]bool{}
	l.entries = all
	return l, nil
}

// read appends the entries of one directory. Hidden files are nobody's
// messages.
func (f *folder) read(p place, l *listing) error {
	return named("readdir", p.String(), f.dirents(f.dirs[p], func(d dirent) {
		if d.name[0] != '.' {
			d.place = p
			l.entries = append(l.entries, d)
		}
	}))
}

// names gives the names in a directory. Hidden files are nobody's messages.
func (f *folder) names(dir int) ([]string, error) {
	names, err := f.allNames(dir)
	return slices.DeleteFunc(names, func(name string) bool { return name[0] == '.' }), err
}

// allNames gives the names in a directory, hidden ones too.
func (f *folder) allNames(dir int) (names []string, err error) {
	err = f.dirents(dir, func(d dirent) { names = append(names, d.name) })
	return names, err
}

// dirents calls each for what is in a directory.
func (f *folder) dirents(dir int, each func(d dirent)) error {
	// A descriptor of its own has a position of its own.
	fd, err := f.sys.open(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.sys.close(fd)
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	for {
		n, err := f.sys.readDir(fd, *buf)
		if err != nil || n == 0 {
			return err
		}
		parseDirents((*buf)[:n], each)
	}
}
