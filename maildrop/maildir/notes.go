package maildir

import (
	"context"
	"fmt"

	"github.com/poplin-mail/poplin/maildrop"
)

// notePrefix begins the names of the files that are notes of views.
const notePrefix = "poplin.note-"

var _ maildrop.Notes = (*session)(nil)

// Note implements maildrop.Notes.
func (s *session) Note(ctx context.Context, key string) ([]byte, error) {
	if err := s.checkNote(ctx, key); err != nil {
		return nil, err
	}
	note, _, err := s.readFile(notePrefix+key, maxState)
	if missing(err) {
		return nil, nil
	} else if err != nil {
		return nil, s.stateError(notePrefix+key, err)
	}
	return note, nil
}

// SetNote implements maildrop.Notes. The error wraps maildrop.ErrTemporary or
// maildrop.ErrPermanent.
func (s *session) SetNote(ctx context.Context, key string, note []byte) error {
	if err := s.checkNote(ctx, key); err != nil {
		return err
	}
	if len(note) > maxState {
		return permanent("note "+key, fmt.Errorf("%d octets are more than a note may have", len(note)))
	}
	if err := s.replaceFile(notePrefix+key, note, true); err != nil {
		return s.stateError(notePrefix+key, err)
	}
	return nil
}

// checkNote tells what is wrong with a call for a note.
func (s *session) checkNote(ctx context.Context, key string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	if !maildrop.ValidKey(key) {
		return fmt.Errorf("maildir: key of a note %q is not 1 to 64 octets of a-z, 0-9, - and _", key)
	}
	return nil
}
