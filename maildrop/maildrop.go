// Package maildrop is the contract between a POP3 server and the places where
// mail is kept. A Store opens maildrops; a Maildrop is one user's mail as it
// stood at login; a Deliverer puts mail in.
//
// Any program serves its own storage over POP3 by implementing Store and
// Maildrop, five methods in all, and handing the Store to a pop3server.Server.
// Package maildroptest holds the test suite that says whether it got them
// right. Packages memory and maildir implement the contract.
//
// Numbers and sizes. Within a Maildrop, a message is named by its index in
// Messages, from 0; the server adds 1 to make the message number of RFC 1939.
// Sizes are in octets in the form of the wire: every line end counted as
// CRLF, a missing last one added, dots not stuffed. Use Size or SizeCounter
// to find them; the server refuses to finish a message of another size.
package maildrop

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/poplin-mail/poplin/internal/wire"
)

// Errors of a Store and of a Maildrop. An implementation returns them, or
// errors that wrap them; the server knows them by errors.Is. Any other error
// counts as a fault that may pass, like ErrTemporary.
var (
	// ErrInUse says that another session holds the maildrop.
	ErrInUse = errors.New("maildrop is in use by another session")

	// ErrTemporary says that storage cannot be reached or read now. A Store
	// gives it rather than a Maildrop with messages missing: clients take a
	// message that is not listed for one that is gone, forget that they have
	// it, and download it again later.
	ErrTemporary = errors.New("storage is temporarily unavailable")

	// ErrPermanent says that an operator must mend something first.
	ErrPermanent = errors.New("maildrop cannot be used")

	// ErrGone says that a message vanished after the maildrop was opened:
	// another program removed it.
	ErrGone = errors.New("message is no longer in the maildrop")

	// ErrReadOnly says that this login may not remove messages.
	ErrReadOnly = errors.New("maildrop is read-only for this login")
)

// Store opens maildrops. It is used by many sessions at once.
type Store interface {
	// Open gives the maildrop of that name, as an Authenticator named it, and
	// takes its session lock: until Close no other Open of it succeeds, in
	// this process or in another that shares the storage. The lock ends with
	// the process that holds it.
	//
	// Open does not wait for the lock: the error is ErrInUse. Where not all
	// messages can be listed it is ErrTemporary or ErrPermanent.
	Open(ctx context.Context, name string) (Maildrop, error)
}

// Maildrop is a maildrop as it stood when it was opened. Mail that comes
// later shows when it is opened the next time, and delivery never waits for a
// Maildrop to be closed. Its methods are called by one goroutine.
type Maildrop interface {
	// Messages lists the messages, oldest first. The list is the same at each
	// call, is not copied, and must not be changed.
	Messages() []Message

	// Open reads the message with index i in Messages as it is stored: with
	// bare LF or with CRLF, dots not stuffed. The caller closes it. The error
	// is ErrGone where another program removed the message. A fault in the
	// middle comes out of Read, never as an early io.EOF.
	Open(ctx context.Context, i int) (io.ReadCloser, error)

	// Remove deletes the messages with the indices marked, in ascending
	// order, and no others: this is the UPDATE state. When it returns nil
	// they are gone for good, whatever happens to the machine. One that
	// another program removed already counts as removed. Where one cannot be
	// removed the others still are, and the error says so.
	Remove(ctx context.Context, marked []int) error

	// Close gives the session lock back. It removes nothing. It may be called
	// twice.
	Close() error
}

// Lister is a Maildrop whose listing can be had without a Message for each
// message, which takes much room where there are many. It says what Messages
// does.
type Lister interface {
	Maildrop

	// Totals gives the number of messages and the sum of their sizes.
	Totals() (messages int, octets int64)

	// Size gives the size of the message with index i in Messages.
	Size(i int) int64

	// UID gives its unique-id.
	UID(i int) string

	// UIDs gives of each message its index plus 1 in decimal, a blank, the
	// unique-id and CRLF.
	UIDs() string
}

// Peeker is a Maildrop for which the beginning of a message costs less than
// all of it.
type Peeker interface {
	// Peek is Open for a caller who may need no more than the header and some
	// lines. All of the message can be read nevertheless.
	Peek(ctx context.Context, i int) (io.ReadCloser, error)
}

// Rester is a Maildrop that holds more than it needs while nobody asks it for
// anything, such as open files. Thousands of sessions wait at any time.
type Rester interface {
	// Rest gives that back. The Maildrop stays open and locked, and its next
	// method takes what it needs again: where that cannot be had, or is no
	// longer what it was, that method fails.
	Rest()
}

// Message is one message of a Maildrop.
type Message struct {
	// UID is the unique-id: 1 to 70 octets of 0x21 to 0x7E, different for
	// every message of the maildrop, the same in every session, and never
	// used again for another message (RFC 1939 section 7, UIDL).
	UID string

	// Size is the number of octets in the form of the wire.
	Size int64

	// Received is when the message came. Zero if unknown.
	Received time.Time
}

// SizeCounter is an io.Writer that counts the octets that a stored message
// has in the form of the wire. Its zero value is ready, and any split of the
// message into writes gives the same count.
type SizeCounter = wire.SizeCounter

// Size reads a stored message to its end and gives its size in octets in the
// form of the wire.
func Size(r io.Reader) (int64, error) { return wire.Size(r) }
