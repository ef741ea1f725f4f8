package maildir

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Rest implements maildrop.Rester: of the Maildir only the session lock stays
// open.
func (s *session) Rest() {
	if s.locked >= 0 {
		s.folder.close()
		s.reading = nil
	}
}

// errReplaced is the error for a path at which another Maildir is than at login.
var errReplaced = errors.New("it, or " + lockName + " in it, is not the one of this login")

// wake opens the folder again after a rest, if it is still the one that the
// session has locked. The number of a folder that is gone may be another's; that
// of the lock is not, as long as it is open, but the lock can have further
// names, in a backup that was made by links: both must agree.
func (s *session) wake() error {
	if s.top >= 0 {
		return nil
	}
	top, err := s.store.reach(s.parts, false)
	if err != nil {
		return err
	}
	s.top = top
	self, err := s.id()
	if err == nil && self != s.self {
		err = errReplaced
	}
	if err == nil {
		err = s.stillLocked()
	}
	if err != nil {
		s.folder.close()
		return classify("Maildir "+s.name, err)
	}
	return nil
}

// stillLocked tells whether the lock is the one that others find.
func (s *session) stillLocked() error {
	var held, found unix.Stat_t
	err := s.sys.fstat(s.locked, &held)
	if err == nil {
		err = s.sys.lstat(s.top, lockName, &found)
	}
	if missing(err) || err == nil && fileIDOf(&held) != fileIDOf(&found) {
		return errReplaced
	}
	return err
}
