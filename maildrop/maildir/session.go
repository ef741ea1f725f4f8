package maildir

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/poplin-mail/poplin/maildrop"
)

// session is a Maildir as it stood when it was opened.
type session struct {
	*folder // closed while it rests
	store   *Store
	parts   []string // of the folder's path
	self    fileID   // of the folder
	locked  int      // descriptor that holds the session lock, -1 when closed
	*catalog
	reading *cursor            // behind the message that was asked for last; nil: none was
	index   *index             // whose catalog that is; nil once it is of no use
	moved   map[int]entry      // messages that are elsewhere than it says
	again   map[int]record     // those measured again, as they are
	list    []maildrop.Message // nil until it is asked for
}

var (
	_ maildrop.Lister = (*session)(nil)
	_ maildrop.Rester = (*session)(nil)
)

// Open implements maildrop.Store. The error wraps maildrop.ErrPermanent for a
// name that no Maildir can have, and where something other than a folder is
// in the way; maildrop.ErrTemporary for a Maildir that is missing, or one that
// cannot be read as a whole. The Maildrop is a maildrop.Lister.
func (s *Store) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	parts, err := s.begin(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := s.enter(parts)
	if err != nil {
		return nil, err
	}
	ses := &session{folder: f, store: s, parts: parts}
	if ses.locked, err = f.lock(); err != nil {
		f.close()
		return nil, err
	}
	if ses.self, err = f.id(); err != nil {
		ses.Close()
		return nil, classify("Maildir "+f.name, err)
	}
	if ses.index, err = s.load(ctx, f); err != nil {
		ses.Close()
		return nil, classify("Maildir "+f.name, err)
	}
	ses.catalog = ses.index.catalog
	return ses, nil
}

// Messages implements maildrop.Maildrop.
func (s *session) Messages() []maildrop.Message {
	if s.list == nil {
		s.list = s.messages()
	}
	return s.list
}

// Totals implements maildrop.Lister.
func (s *session) Totals() (messages int, octets int64) { return s.count, s.octets }

// Size implements maildrop.Lister.
func (s *session) Size(i int) int64 { return s.size(i) }

// UID implements maildrop.Lister.
func (s *session) UID(i int) string { return s.at(i).uid }

// UIDs implements maildrop.Lister.
func (s *session) UIDs() string { return s.lines }

// record gives the record of message i, which is where it was found last.
func (s *session) record(i int) *record {
	if s.reading == nil || s.reading.catalog != s.catalog || s.reading.at != i { // most ask for one after another
		s.reading = new(s.cursor(i))
	}
	var it item
	s.reading.next(&it)
	r := s.catalog.record(&it)
	if e, found := s.moved[i]; found {
		r.entry = e
	}
	return &r
}

// Close implements maildrop.Maildrop.
func (s *session) Close() error {
	if s.locked >= 0 {
		s.keepAgain()
		s.sys.close(s.locked)
		s.locked = -1
		s.folder.close()
	}
	return nil
}

// check tells what is wrong with a call, and opens the folder for it.
func (s *session) check(ctx context.Context) error {
	if s.locked < 0 {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.wake()
}

// Open implements maildrop.Maildrop.
func (s *session) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	if i < 0 || i >= s.count {
		return nil, errIndex(i)
	}
	if err := s.openDirs(); err != nil {
		return nil, err
	}
	for looked := false; ; looked = true {
		r := s.record(i)
		var st unix.Stat_t
		fd, err := s.openMessage(r.entry, &st)
		if err == nil && st.Ino == r.ino {
			return s.serve(ctx, i, r, fd, &st)
		}
		if err == nil {
			s.sys.close(fd)
		} else if !goneOrOther(err) {
			return nil, classify("message "+r.name, err)
		}
		found := false
		if !looked {
			all, failed, err := s.relocate(ctx, map[int]bool{i: true})
			if found = all[i]; err == nil && !found {
				err = failed[i]
			}
			if err != nil {
				return nil, classify("message "+r.name, err)
			}
		}
		if !found {
			return nil, fmt.Errorf("maildir: message %s: %w", r.name, maildrop.ErrGone)
		}
	}
}

// serve gives the reader of an open file that has the inode of message i, whose
// record is r. The same inode with another size or time is a file changed in
// place, or another one in its room; it is served only if its size is the one
// announced, as after a touch, a rename, or a backup by hard links.
func (s *session) serve(ctx context.Context, i int, r *record, fd int, st *unix.Stat_t) (io.ReadCloser, error) {
	opened := &file{sys: s.sys, fd: fd, name: r.name, left: st.Size}
	if r.unchanged(st) || s.knownAgain(i, st) {
		return opened, nil
	}
	now, err := s.measure(ctx, r.entry)
	if err == nil && now.ino == r.ino && now.size == r.size {
		s.noteAgain(i, &now)
		return opened, nil
	}
	opened.Close()
	if err != nil && !goneOrOther(err) {
		return nil, classify("message "+r.name, err)
	}
	s.forget()
	return nil, fmt.Errorf("maildir: message %s was changed by another program: %w", r.name, maildrop.ErrGone)
}

// forget has the next session look at every file: the directory of one that was
// changed in place has not changed.
func (s *session) forget() {
	s.index = nil
	s.store.cache.drop(s.name)
	s.sys.unlink(s.top, indexName)
}

// errIndex is the error for an index that no message has.
func errIndex(i int) error { return fmt.Errorf("maildir: no message with index %d", i) }
