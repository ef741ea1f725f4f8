package maildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

var _ maildrop.Aside = (*session)(nil)

// asideName is the folder of removed messages that are kept for a time. It
// holds a folder for each removal and place, a batch, with the files of the
// messages under the names that they had. Neither looks like a Maildir.
const asideName = "poplin.aside"

// batch is a folder in poplin.aside. Its name is REMOVED.UNTIL.PLACE: both
// times in milliseconds since 1970, and new or cur, where its files were.
type batch struct {
	removed, until int64
	place          place
}

func (b batch) String() string { return fmt.Sprintf("%d.%d.%s", b.removed, b.until, b.place) }

// parseBatch reads the name of a batch.
func parseBatch(name string) (batch, bool) {
	fields := strings.Split(name, ".")
	if len(fields) != 3 {
		return batch{}, false
	}
	removed, err1 := strconv.ParseInt(fields[0], 10, 64)
	until, err2 := strconv.ParseInt(fields[1], 10, 64)
	b := batch{removed: removed, until: until}
	if fields[2] == inCur.String() {
		b.place = inCur
	}
	return b, err1 == nil && err2 == nil && b.String() == name
}

// aside is an open poplin.aside.
type aside struct {
	*folder
	dir int
}

// openAside opens poplin.aside. The error says fs.ErrNotExist where there is
// none.
func (f *folder) openAside() (*aside, error) {
	dir, err := f.sys.open(f.top, asideName, unix.O_RDONLY|unix.O_DIRECTORY)
	return &aside{f, dir}, err
}

func (a *aside) close() { a.sys.close(a.dir) }

// batches lists the batches, the first removed first.
func (a *aside) batches() ([]batch, error) {
	names, err := a.names(a.dir)
	if err != nil {
		return nil, named("readdir", asideName, err)
	}
	all := make([]batch, 0, len(names))
	for _, name := range names {
		if b, ok := parseBatch(name); ok {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b batch) int {
		return cmp.Or(cmp.Compare(a.removed, b.removed), cmp.Compare(a.until, b.until), cmp.Compare(a.place, b.place))
	})
	return all, nil
}

// visit opens a batch and calls each with the names in it, and the descriptor.
func (a *aside) visit(b batch, each func(dir int, names []string) error) error {
	dir, err := a.sys.open(a.dir, b.String(), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer a.sys.close(dir)
	names, err := a.names(dir)
	if err != nil {
		return named("readdir", b.String(), err)
	}
	return each(dir, names)
}

// expiredAtOnce bounds how many messages one session removes whose time is up.
const expiredAtOnce = 1000

// expire removes for good what was kept aside long enough. Its faults harm
// nobody: a later session tries again.
func (a *aside) expire(now time.Time) {
	all, _ := a.batches()
	removed := 0
	for _, b := range all {
		if now.UnixMilli() < b.until {
			continue
		}
		_ = a.visit(b, func(dir int, names []string) error {
			for _, name := range names {
				if removed++; removed > expiredAtOnce {
					break
				}
				a.sys.unlink(dir, name)
			}
			return nil
		})
		if removed > expiredAtOnce {
			return
		}
		a.sys.rmdir(a.dir, b.String())
	}
}

// expire is aside.expire where there is a poplin.aside.
func (f *folder) expire(now time.Time) {
	if a, err := f.openAside(); err == nil {
		a.expire(now)
		a.close()
	}
}

// keeper moves messages aside in one removal.
type keeper struct {
	*aside
	batch batch
	dirs  [2]int // of the batches, -1 until they are made
}

// newKeeper makes poplin.aside where it is missing, durably.
func (f *folder) newKeeper(now time.Time, period time.Duration) (*keeper, error) {
	err := f.sys.mkdir(f.top, asideName)
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = f.sys.fsync(f.top)
	}
	if err != nil {
		return nil, err
	}
	a, err := f.openAside()
	if err != nil {
		return nil, err
	}
	return &keeper{a, batch{removed: now.UnixMilli(), until: now.Add(period).UnixMilli()}, [2]int{-1, -1}}, nil
}

func (k *keeper) close() {
	for _, dir := range k.dirs {
		if dir >= 0 {
			k.sys.close(dir)
		}
	}
	k.aside.close()
}

// put moves the message that e names aside. The rename is one step: whatever
// happens, the message is in the maildrop or aside.
func (k *keeper) put(e entry) error {
	if k.dirs[e.place] < 0 {
		if err := k.create(e.place); err != nil {
			return err
		}
	}
	return k.sys.rename(k.folder.dirs[e.place], e.name, k.dirs[e.place], e.name)
}

// create makes the batch for a place. It must be a new one, as a rename
// replaces what has the name.
func (k *keeper) create(p place) (err error) {
	b := k.batch
	b.place = p
	for range nameTries {
		if err = k.sys.mkdir(k.dir, b.String()); !errors.Is(err, fs.ErrExist) {
			break
		}
		b.until++
	}
	if err == nil {
		err = k.sys.fsync(k.dir)
	}
	if err == nil {
		k.dirs[p], err = k.sys.open(k.dir, b.String(), unix.O_RDONLY|unix.O_DIRECTORY)
	}
	return err
}

// sync makes durable what put did at a place.
func (k *keeper) sync(p place) error {
	if k.dirs[p] < 0 {
		return nil
	}
	return k.sys.fsync(k.dirs[p])
}

// SetAside implements maildrop.Aside.
func (s *session) SetAside(ctx context.Context, marked []int, period time.Duration) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	if len(marked) == 0 {
		return nil
	}
	unsettled, err := s.unsettled()
	if err != nil {
		return err
	}
	if unsettled {
		period = max(period, maildrop.KeptUnsettled)
	}
	now := s.now()
	k, err := s.newKeeper(now, period)
	if err != nil {
		return s.stateError(asideName, err)
	}
	defer k.close()
	k.expire(now)
	return s.remove(ctx, marked, k)
}

// Kept implements maildrop.Aside.
func (s *session) Kept(ctx context.Context) ([]string, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	a, err := s.openAside()
	if missing(err) {
		return nil, nil
	} else if err != nil {
		return nil, s.stateError(asideName, err)
	}
	defer a.close()
	records, err := a.records(ctx)
	if err != nil {
		return nil, classify("messages kept aside in "+s.name, err)
	}
	mark, err := s.uidlStamp()
	if err != nil {
		return nil, classify("messages kept aside in "+s.name, err)
	}
	names, err := s.readUIDL(mark)
	if err != nil {
		return nil, err
	}
	assign(records, nil, names, func(string) bool { return false })
	uids := make([]string, len(records))
	for i := range records {
		uids[i] = records[i].uid
	}
	return uids, nil
}

// records gives what UIDs are made of, for each message kept aside.
func (a *aside) records(ctx context.Context) (records []record, err error) {
	all, err := a.batches()
	for _, b := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := a.visit(b, func(dir int, names []string) error {
			for _, name := range names {
				var st unix.Stat_t
				if err := a.sys.lstat(dir, name, &st); err != nil {
					return err
				}
				records = append(records, record{entry: entry{b.place, name}, ino: st.Ino})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return records, err
}
