package maildir

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// goneOrOther tells whether err says that a name is no longer of the message.
func goneOrOther(err error) bool { return missing(err) || errors.Is(err, errNoMessage) }

// classify wraps an error that does not yet say what it means to a session.
func classify(what string, err error) error {
	for _, known := range []error{maildrop.ErrTemporary, maildrop.ErrPermanent, maildrop.ErrGone, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return fmt.Errorf("maildir: %s: %w", what, err)
		}
	}
	return temporary(what, err)
}

// relocate looks for message i, which is not where it was, and tells whether
// it found it. Where one file was renamed many were, so every record whose
// name is gone gets its new one.
func (s *session) relocate(ctx context.Context, i int) (found bool, err error) {
	l, err := s.folder.list(ctx)
	if err != nil {
		return false, err
	}
	present := make(map[entry]bool, len(l.entries))
	byBase := make(map[string][]entry, len(l.entries))
	for _, e := range l.entries {
		present[e] = true
		byBase[e.base()] = append(byBase[e.base()], e)
	}
	for n := range s.records {
		r := &s.records[n]
		if present[r.entry] && n != i {
			continue
		}
		for _, e := range byBase[r.base()] {
			var st unix.Stat_t
			err := s.sys.lstat(s.dirs[e.place], e.name, &st)
			switch {
			case err == nil && st.Ino == r.ino:
				r.entry = e
				found = found || n == i
			case n == i && err != nil && !missing(err):
				return false, err
			}
		}
	}
	return found, nil
}

// Remove implements maildrop.Maildrop. It looks at each file before it
// removes it: one that another program put in place of the message survives.
func (s *session) Remove(ctx context.Context, marked []int) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	var errs []error
	var touched [2]bool
	for n, i := range marked {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("maildir: %d messages not removed: %w", len(marked)-n, err))
			break
		}
		if i < 0 || i >= len(s.records) {
			errs = append(errs, errIndex(i))
			continue
		}
		if err := s.removeOne(ctx, i, &touched); err != nil {
			errs = append(errs, classify("message "+s.records[i].name+" not removed", err))
		}
	}
	for p, fd := range s.dirs {
		if touched[p] {
			if err := s.sys.fsync(fd); err != nil {
				errs = append(errs, temporary(fmt.Sprintf("%s/%s: removals may not last", s.name, place(p)), err))
			}
		}
	}
	return errors.Join(errs...)
}

// renames bounds how often a message is looked for while it is removed.
const renames = 5

// removeOne removes every name of message i and notes the directories whose
// changes must be made durable: where the message is gone already, both, for
// the program that removed it may not have done so.
func (s *session) removeOne(ctx context.Context, i int, touched *[2]bool) error {
	r := &s.records[i]
	for range renames {
		var st unix.Stat_t
		err := s.sys.lstat(s.dirs[r.place], r.name, &st)
		switch {
		case err == nil && r.same(&st):
			err = s.sys.unlink(s.dirs[r.place], r.name)
			touched[r.place] = true
			if err == nil && st.Nlink == 1 {
				return nil
			}
		case err == nil && st.Ino == r.ino && regular(&st):
			return errors.New("another program changed it since login")
		}
		if err != nil && !missing(err) {
			return err
		}
		// It was renamed, or has another link, perhaps in a folder that is
		// none of ours.
		found, err := s.relocate(ctx, i)
		if err != nil {
			return err
		}
		if !found {
			*touched = [2]bool{true, true}
			return nil
		}
	}
	return errors.New("another program keeps renaming it")
}
