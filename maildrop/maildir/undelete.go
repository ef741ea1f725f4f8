package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

var _ maildrop.Undeleter = (*Store)(nil)

// Undelete implements maildrop.Undeleter. Messages come back to the folder
// and under the name that they had, so flags and UIDs are what they were. One
// whose name another message has by now stays aside, and the error says so.
func (s *Store) Undelete(ctx context.Context, name string, since time.Time) (int, error) {
	parts, err := s.begin(ctx, name)
	if err != nil {
		return 0, err
	}
	f, err := s.openFolder(parts, false)
	if err != nil {
		return 0, err
	}
	defer f.close()
	a, err := f.openAside()
	if missing(err) {
		return 0, nil
	} else if err != nil {
		return 0, f.stateError(asideName, err)
	}
	defer a.close()
	locked, err := f.lock()
	if err != nil {
		return 0, err
	}
	defer f.sys.close(locked)
	now := f.now()
	a.expire(now)
	all, err := a.batches()
	if err != nil {
		return 0, classify("messages kept aside in "+f.name, err)
	}
	here, err := f.byBase()
	if err != nil {
		return 0, classify("Maildir "+f.name, err)
	}
	defer f.countAnew()
	var count int
	var errs []error
	for _, b := range all {
		if b.removed < since.UnixMilli() || b.until <= now.UnixMilli() {
			continue
		}
		err := a.visit(b, func(dir int, names []string) error {
			r := restorer{a, b, here, dir, nil}
			err := r.restore(ctx, names)
			count += len(r.back)
			return err
		})
		if err != nil {
			errs = append(errs, classify("messages kept aside in "+f.name, err))
		}
	}
	return count, errors.Join(errs...)
}

// byBase gives the files in new/ and cur/ by what makes their UIDs. A mail
// program changes flags, and moves files, but that stays.
func (f *folder) byBase() (map[string][]dirent, error) {
	var l listing
	for _, p := range []place{inNew, inCur} {
		if err := f.read(p, &l); err != nil {
			return nil, err
		}
	}
	here := make(map[string][]dirent, len(l.entries))
	for _, d := range l.entries {
		here[baseOf(d.name)] = append(here[baseOf(d.name)], d)
	}
	return here, nil
}

// restorer brings the messages of a batch back.
type restorer struct {
	*aside
	batch batch
	here  map[string][]dirent // what was in the maildrop before, by base
	dir   int
	back  []string // the names that are back
}

// restore links the files into the maildrop, makes that durable, and only then
// removes their names here: they are in one of the places at any time, and
// where it was killed, the next one finds those that are in both.
func (r *restorer) restore(ctx context.Context, names []string) error {
	var errs []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		if err := r.link(name); err != nil {
			errs = append(errs, err)
			continue
		}
		r.back = append(r.back, name)
	}
	if len(r.back) > 0 {
		if err := r.sys.fsync(r.dirs[r.batch.place]); err != nil {
			r.back = nil
			return errors.Join(append(errs, named("fsync", r.batch.place.String(), err))...)
		}
	}
	for _, name := range r.back {
		if err := r.sys.unlink(r.dir, name); err != nil && !missing(err) {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		r.sys.rmdir(r.aside.dir, r.batch.String()) // or it stays until its time is up
	}
	return errors.Join(errs...)
}

// link gives a file its old name again, beside the one it has. Nothing that
// has that name is replaced, and nothing that has it under other flags doubled.
func (r *restorer) link(name string) error {
	to := r.dirs[r.batch.place]
	var own, other unix.Stat_t
	if err := r.sys.lstat(r.dir, name, &own); err != nil {
		return err
	}
	for _, d := range r.here[baseOf(name)] {
		switch err := r.sys.lstat(r.dirs[d.place], d.name, &other); {
		case missing(err): // gone or renamed since
		case err != nil:
			return err
		case own.Ino == other.Ino:
			return nil // linked before
		default:
			return r.taken(d.place, d.name, name)
		}
	}
	err := r.sys.link(r.dir, name, to, name)
	if err == nil || !errors.Is(err, fs.ErrExist) && !noLinks(err) {
		return err
	}
	switch lookErr := r.sys.lstat(to, name, &other); {
	case missing(lookErr) && noLinks(err):
		return r.sys.rename(r.dir, name, to, name)
	case lookErr != nil:
		return lookErr
	case own.Ino == other.Ino:
		return nil
	}
	return r.taken(r.batch.place, name, name)
}

// taken says that a message cannot come back, and which other one is there.
func (r *restorer) taken(p place, other, name string) error {
	return fmt.Errorf("another message is %s/%s/%s now: move it away, or take this one, %s, from %s/%s: %w",
		r.name, p, other, name, asideName, r.batch, fs.ErrExist)
}
