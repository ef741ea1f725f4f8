package maildrop

import (
	"context"
	"time"
)

// View is how one login sees a maildrop. The zero View is the whole maildrop,
// with deletes that delete. Package view serves a Maildrop under a View.
type View struct {
	// Device names what a view remembers: two logins with one Device share
	// what is hidden from them. It is empty for a login without one.
	Device string

	// ReadOnly refuses DELE.
	ReadOnly bool

	// Keep has DELE hide a message from this Device only. Nothing is removed.
	Keep bool

	// Recent, above zero, shows messages received within that time. One that
	// grows older is hidden at the next login and never shown to this Device
	// again, whatever happens to clocks and settings.
	Recent time.Duration

	// Undo, above zero, keeps removed messages aside for that long.
	Undo time.Duration
}

// Notes is a Maildrop that keeps small notes beside the messages, for views.
// They live as long as the maildrop and are seen by all who share the storage.
type Notes interface {
	// Note reads what SetNote stored last under that key, nil where nothing
	// is. A key is 1 to 64 octets of a-z, 0-9, "-" and "_".
	Note(ctx context.Context, key string) ([]byte, error)

	// SetNote stores a note. It is durable when the error is nil; otherwise
	// the note is what it was, or what it should become, and never a part.
	SetNote(ctx context.Context, key string, note []byte) error
}

// ValidKey tells whether s can be the key of a note.
func ValidKey(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// Aside is a Maildrop that can keep removed messages aside.
type Aside interface {
	// SetAside is Remove, but keeps the messages for at least the period: an
	// Undeleter brings them back until then. Messages set aside before whose
	// time is up are removed for good, now or later.
	SetAside(ctx context.Context, marked []int, period time.Duration) error

	// Kept gives the UIDs of the messages that are kept aside, in any order.
	Kept(ctx context.Context) ([]string, error)
}

// Undeleter is a Store whose maildrops are Aside.
type Undeleter interface {
	// Undelete brings back the messages of the maildrop that are still kept
	// aside and were removed at since or later, with their UIDs, and gives
	// their number, with an error too. It holds the session lock meanwhile, so
	// the error is ErrInUse while a session is open.
	Undelete(ctx context.Context, name string, since time.Time) (int, error)
}
