// Package target has the places where retrieved mail goes. A Target takes a
// message in steps, between which package fetch writes its journal, so that a
// run that is killed anywhere neither loses nor doubles what it can help:
//
//	Stage      the octets come in, into a file of the target's choice
//	Prepare    what is staged is made durable, as far as Settle needs it
//	           (the journal notes INTENT)
//	Deliver    it is put where it belongs, durably
//	           (the journal notes DONE)
//	Discard    what was staged is taken away
//
// After a run that ended between INTENT and DONE, Settle finds out how far the
// delivery came.
package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Target is a place where mail goes. Its methods are called by one goroutine
// at a time, but for Stage and Stages, which may run beside the others.
type Target interface {
	// Name is what the journal knows the target by: two targets to the same
	// place have one name, and it does not change. It holds no password.
	Name() string

	// Stage opens what takes the octets of a message. What is staged under
	// that id already is thrown away.
	Stage(id string) (*Stage, error)

	// Prepare makes what is staged durable, and gives a note for each message,
	// of one line of printable ASCII, perhaps empty, which Settle gets. An
	// error is for the message in its place.
	Prepare(ctx context.Context, batch []*Message) (notes []string, errs []error)

	// Deliver puts messages where they belong. Where the error in its place is
	// nil the message is there, once and durably. An error that is a *Refusal
	// is about the message; any other is about the target, which takes nothing
	// more in this run.
	Deliver(ctx context.Context, batch []*Message) []error

	// Batch is how many messages may be prepared at once. Where Settle cannot
	// find out what became of a message, it is 1: a run that is killed doubles
	// no other than the one that it was about to note.
	Batch() int

	// Settle tells how far a delivery came that was prepared, in an earlier
	// run, and whose end was not noted. An error leaves that open: it is asked
	// again in the next run.
	Settle(ctx context.Context, m *Message, note string) (Outcome, error)

	// Discard takes away what is staged, if anything is.
	Discard(id string)

	// Sweep takes away what was staged long ago, but for what is to be kept.
	Sweep(keep func(id string) bool)

	// Close ends the use of the target. What is staged stays.
	Close() error
}

// batchMessages is how many messages targets make durable at once that can find
// out what became of each.
const batchMessages = 128

// Message is a message that is staged whole.
type Message struct {
	// ID is the same at each attempt to deliver the message, in each run, and
	// no other message has it: 32 hexadecimal digits.
	ID string

	Octets int64 // as staged, with LF for line ends
	Sum    Sum   // of these octets
}

// Sum is a checksum: the beginning of SHA-256.
type Sum [16]byte

// String gives it in hexadecimal.
func (s Sum) String() string { return fmt.Sprintf("%x", s[:]) }

// ParseSum reads what String gives. What is none gives a Sum that no message
// has.
func ParseSum(text string) (s Sum) {
	hex.Decode(s[:], []byte(text)[:min(len(text), 2*len(s))])
	return s
}

// Outcome is how far a delivery came.
type Outcome uint8

const (
	Absent    Outcome = iota // nothing of it is there: it must be retrieved again
	Staged                   // it is staged whole still: Deliver can go on
	Delivered                // it is where it belongs, durably
)

// Refusal says that a target does not take a message, while it may take others.
type Refusal struct {
	Permanent bool   // trying again is of no use
	Reason    string // one line, fit for a terminal
}

// Error implements error.
func (r *Refusal) Error() string { return r.Reason }

// Stage takes the octets of a message, with LF for line ends. It ends with
// Finish or Abort.
type Stage struct {
	to     io.WriteCloser
	octets int64
	sum    hash.Hash
	err    error
	abort  func()
}

// NewStage makes a Stage that writes to w, which it closes. Abort takes away
// what came.
func NewStage(w io.WriteCloser, abort func()) *Stage {
	return &Stage{to: w, sum: sha256.New(), abort: abort}
}

// Write implements io.Writer.
func (s *Stage) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.to.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	s.octets += int64(n)
	s.sum.Write(p[:n])
	s.err = err
	return n, err
}

var errStageEnded = errors.New("the message has ended")

// Finish ends a message that came whole.
func (s *Stage) Finish(id string) (*Message, error) {
	err := s.err
	if closeErr := s.to.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		s.abort()
		return nil, err
	}
	s.err = errStageEnded
	m := &Message{ID: id, Octets: s.octets}
	copy(m.Sum[:], s.sum.Sum(nil))
	return m, nil
}

// Abort ends a message that did not come whole, and leaves nothing of it.
func (s *Stage) Abort() {
	if s.err != errStageEnded {
		s.to.Close()
		s.abort()
		s.err = errStageEnded
	}
}
