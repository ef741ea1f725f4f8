package maildir

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// relocate looks for the messages wanted, which are not where they were or may
// have another name, and gives those that it found; failed are those that
// could not be looked at. Where one file was renamed many were, so every record
// whose name is gone gets its new one. The folders are listed once, however
// many are wanted, and again where one was renamed behind the listing.
func (s *session) relocate(ctx context.Context, wanted map[int]bool) (found map[int]bool, failed map[int]error, err error) {
	for range renames {
		vanished := false
		if found, failed, vanished, err = s.search(ctx, wanted); err != nil || !vanished {
			break
		}
	}
	return found, failed, err
}

// search is relocate with one listing. Vanished says that a name that one of
// those wanted may have had was gone when it was looked at.
func (s *session) search(ctx context.Context, wanted map[int]bool) (found map[int]bool, failed map[int]error, vanished bool, err error) {
	l, err := s.folder.list(ctx, nil)
	if err != nil {
		return nil, nil, false, err
	}
	present := make(map[entry]bool, len(l.entries))
	byBase := make(map[string][]entry, len(l.entries))
	for _, e := range l.entries {
		present[e.entry] = true
		byBase[e.base()] = append(byBase[e.base()], e.entry)
	}
	found, failed = make(map[int]bool), make(map[int]error)
	k := s.cursor(0)
	for it := (item{}); k.next(&it); {
		n := k.at - 1
		r := s.catalog.record(&it)
		if e, found := s.moved[n]; found {
			r.entry = e
		}
		if present[r.entry] && !wanted[n] {
			continue
		}
		gone := false
		for _, e := range byBase[r.base()] {
			var st unix.Stat_t
			err := s.sys.lstat(s.dirs[e.place], e.name, &st)
			switch {
			case err == nil && st.Ino == r.ino:
				if s.moved == nil {
					s.moved = make(map[int]entry)
				}
				s.moved[n] = e
				found[n] = true
			case missing(err):
				gone = true
			case err != nil:
				failed[n] = err
			}
		}
		vanished = vanished || gone && wanted[n] && !found[n]
	}
	return found, failed, vanished, nil
}

// renames bounds how often messages are looked for while they are removed.
const renames = 5

// Remove implements maildrop.Maildrop.
func (s *session) Remove(ctx context.Context, marked []int) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	unsettled, err := s.unsettled()
	if err != nil {
		return err
	}
	if unsettled {
		return s.SetAside(ctx, marked, 0)
	}
	return s.remove(ctx, marked, nil)
}

// remove removes messages, or moves them aside where there is a keeper. It
// looks at each file before it removes it: one that another program put in
// place of the message survives. Those that are not under the name noted at
// login, or have another link, are looked for together, so that the cost does
// not grow with their square.
func (s *session) remove(ctx context.Context, marked []int, k *keeper) error {
	if err := s.openDirs(); err != nil {
		return err
	}
	var errs []error
	var did removal
	defer func() { s.account(-did.octets, -did.messages) }()
	fail := func(i int, err error) {
		errs = append(errs, classify("message "+s.record(i).name+" not removed", err))
	}
	pending := make([]int, 0, len(marked))
	for _, i := range marked {
		if i < 0 || i >= s.count {
			errs = append(errs, errIndex(i))
			continue
		}
		pending = append(pending, i)
	}
	for range renames {
		wanted := make(map[int]bool)
		for n, i := range pending {
			if err := ctx.Err(); err != nil {
				errs = append(errs, fmt.Errorf("maildir: %d messages not removed: %w", len(pending)-n, err))
				break
			}
			elsewhere, err := s.unlink(i, k, &did)
			if err != nil {
				fail(i, err)
			}
			if elsewhere {
				wanted[i] = true
			}
		}
		if pending = s.pursue(ctx, wanted, &did, fail); len(pending) == 0 {
			break
		}
	}
	for _, i := range pending {
		fail(i, errors.New("another program keeps renaming it"))
	}
	// What was in cur/ came from new/, and the program that moved it there need
	// not have synced that.
	did.touched[inNew] = did.touched[inNew] || did.touched[inCur]
	for p, fd := range s.dirs {
		if did.touched[p] {
			var err error
			if k != nil {
				err = k.sync(place(p)) // first, so that no message is in neither
			}
			if err == nil {
				err = s.sys.fsync(fd)
			}
			if err != nil {
				errs = append(errs, temporary(fmt.Sprintf("%s/%s: removals may not last", s.name, place(p)), err))
			}
		}
	}
	return errors.Join(errs...)
}

// removal is what was done to a Maildir.
type removal struct {
	touched          [2]bool // by place: its directory is to be made durable
	octets, messages int64
}

// unlink removes message i under the name that is known, or moves it aside
// where there is a keeper. Elsewhere says that it may have another: it was
// renamed, or has a second link, perhaps in a folder that is none of ours.
func (s *session) unlink(i int, k *keeper, did *removal) (elsewhere bool, err error) {
	r := s.record(i)
	var st unix.Stat_t
	err = s.sys.lstat(s.dirs[r.place], r.name, &st)
	switch {
	case err == nil && r.same(&st):
		if k != nil {
			err = k.put(r.entry)
		} else {
			err = s.sys.unlink(s.dirs[r.place], r.name)
		}
		did.touched[r.place] = true
		if err == nil {
			did.octets += r.octets
			did.messages++
		}
		if err == nil && st.Nlink == 1 {
			return false, nil
		}
	case err == nil && st.Ino == r.ino && regular(&st):
		s.forget()
		return false, errors.New("another program changed it since login")
	}
	if err != nil && !missing(err) {
		return false, err
	}
	return true, nil
}

// pursue looks for the messages wanted and gives, in ascending order, those
// that have a name still. One that has none is removed: both directories must
// then be made durable, for the program that removed it may not have done so.
func (s *session) pursue(ctx context.Context, wanted map[int]bool, did *removal, fail func(int, error)) (again []int) {
	if len(wanted) == 0 {
		return nil
	}
	found, failed, err := s.relocate(ctx, wanted)
	for _, i := range slices.Sorted(maps.Keys(wanted)) {
		switch {
		case err != nil:
			fail(i, err)
		case found[i]:
			again = append(again, i)
		case failed[i] != nil:
			fail(i, failed[i])
		default:
			did.touched = [2]bool{true, true}
		}
	}
	return again
}
