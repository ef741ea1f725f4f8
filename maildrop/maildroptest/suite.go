// Package maildroptest tests implementations of package maildrop's contract.
//
// Run does it all from one test of the implementation:
//
//	func TestContract(t *testing.T) {
//		maildroptest.Run(t, func(t testing.TB) maildroptest.Harness {
//			s := mystore.New(t.TempDir())
//			return maildroptest.Harness{Store: s, Deliverer: s}
//		})
//	}
//
// Each failure says which sentence of the contract is broken. What takes
// faults to show, such as storage that fails in the middle of a message, or
// the loss of power, is the implementation's own to test.
package maildroptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// Harness is a Store under test, and how the suite puts mail into it.
type Harness struct {
	// Store is under test.
	Store maildrop.Store

	// Deliverer puts messages in, and is tested too; as a Distributor, where
	// it is one. Nil for a Store that is filled by others: then Put does it.
	Deliverer maildrop.Deliverer

	// Put puts a message in, at once, where Deliverer is nil.
	Put func(name string, content []byte) error

	// Create makes an empty maildrop. Nil means that Open or the first
	// delivery makes it.
	Create func(name string) error

	// Views says that the Maildrops are maildrop.Notes and maildrop.Aside, and
	// the Store a maildrop.Undeleter: these are tested too.
	Views bool

	// Discard removes the message with that UID as another program would,
	// while a Maildrop is open. Nil if only a Maildrop can remove messages.
	Discard func(name, uid string) error
}

// check is one part of the contract.
type check struct {
	name string
	run  func(b *bench)
}

var checks = []check{
	{"Empty", checkEmpty},
	{"Listing", checkListing},
	{"Sizes", checkSizes},
	{"LongLine", checkLongLine},
	{"ReadTwice", checkReadTwice},
	{"Received", checkReceived},
	{"Lock", checkLock},
	{"LockRace", checkLockRace},
	{"CloseTwice", checkCloseTwice},
	{"OthersNotLocked", checkOthersNotLocked},
	{"Snapshot", checkSnapshot},
	{"CloseRemovesNothing", checkCloseRemovesNothing},
	{"Remove", checkRemove},
	{"RemoveNothing", checkRemoveNothing},
	{"RemoveAll", checkRemoveAll},
	{"RemoveLeavesNewMail", checkRemoveLeavesNewMail},
	{"Gone", checkGone},
	{"UIDs", checkUIDs},
	{"UIDsNotReused", checkUIDsNotReused},
	{"Receipt", checkReceipt},
	{"Readers", checkReaders},
	{"FailingReader", checkFailingReader},
	{"Cancelled", checkCancelled},
	{"ConcurrentDelivery", checkConcurrentDelivery},
	{"ConcurrentMaildrops", checkConcurrentMaildrops},
	{"Distribute", checkDistribute},
	{"DistributeFailingReader", checkDistributeFailingReader},
	{"Quota", checkQuota},
}

// viewChecks are the part for Harness.Views.
var viewChecks = []check{
	{"Notes", checkNotes},
	{"NoteKeys", checkNoteKeys},
	{"SetAside", checkSetAside},
	{"RemoveIsFinal", checkRemoveIsFinal},
	{"UndeleteSince", checkUndeleteSince},
	{"AsideExpires", checkAsideExpires},
	{"UndeleteLock", checkUndeleteLock},
}

// Run tests the Store that newHarness makes, a new one for each part of the
// contract. NewHarness registers what must be undone with t.Cleanup.
func Run(t *testing.T, newHarness func(t testing.TB) Harness) {
	run := checks
	if newHarness(t).Views {
		run = slices.Concat(checks, viewChecks)
	}
	for _, c := range run {
		t.Run(c.name, func(t *testing.T) { c.start(t, newHarness) })
	}
}

// start runs a check.
func (c *check) start(t testing.TB, newHarness func(t testing.TB) Harness) {
	t.Helper()
	h := newHarness(t)
	if h.Store == nil || h.Deliverer == nil && h.Put == nil {
		t.Fatal("maildroptest: the Harness needs a Store, and a Deliverer or Put")
	}
	// No contract call may wait for long; a suite that hangs says nothing.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.run(&bench{TB: t, Harness: h, ctx: ctx})
}

// patience bounds a check where an implementation waits for ever.
const patience = 2 * time.Minute

// user is the maildrop that most checks use.
const user = "user@example.org"

// bench is what a check works with.
type bench struct {
	testing.TB
	Harness
	ctx context.Context
}

// create makes an empty maildrop.
func (b *bench) create(name string) {
	b.Helper()
	if b.Create == nil {
		return
	}
	if err := b.Create(name); err != nil {
		b.Fatalf("Harness.Create(%q): %v", name, err)
	}
}

// put puts messages in, one after the other.
func (b *bench) put(name string, contents ...string) {
	b.Helper()
	for _, content := range contents {
		if err := b.deliver(name, []byte(content)); err != nil {
			b.Fatalf("message for %q was not taken: %v", name, err)
		}
	}
}

// deliver puts a message in.
func (b *bench) deliver(name string, content []byte) error {
	if b.Deliverer == nil {
		return b.Put(name, content)
	}
	_, err := b.Deliverer.Deliver(b.ctx, name, bytes.NewReader(content))
	return err
}

// open opens a maildrop.
func (b *bench) open(name string) maildrop.Maildrop {
	b.Helper()
	m, err := b.Store.Open(b.ctx, name)
	if err != nil {
		b.Fatalf("Store.Open(%q): %v; no session holds the maildrop, so it must succeed", name, err)
	}
	return m
}

// close closes a maildrop.
func (b *bench) close(m maildrop.Maildrop) {
	b.Helper()
	if err := m.Close(); err != nil {
		b.Errorf("Maildrop.Close: %v", err)
	}
}

// read gives a message in the form of the wire.
func (b *bench) read(m maildrop.Maildrop, i int) string {
	b.Helper()
	r, err := m.Open(b.ctx, i)
	if err != nil {
		b.Fatalf("Maildrop.Open(%d): %v; the message is listed and nobody removed it", i, err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		b.Errorf("reading message %d: %v", i, err)
	}
	if err := r.Close(); err != nil {
		b.Errorf("closing message %d: %v", i, err)
	}
	return wireForm(string(content))
}

// expect opens a maildrop, checks that it holds the messages, in that order,
// closes it, and gives the list.
func (b *bench) expect(why, name string, contents ...string) []maildrop.Message {
	b.Helper()
	m := b.open(name)
	defer b.close(m)
	b.expectOpen(why, m, contents...)
	return m.Messages()
}

// expectOpen checks what an open Maildrop holds.
func (b *bench) expectOpen(why string, m maildrop.Maildrop, contents ...string) {
	b.Helper()
	list := m.Messages()
	b.expectLister(why, m, list)
	if len(list) != len(contents) {
		b.Fatalf("%s: %d messages are listed, want %d", why, len(list), len(contents))
	}
	for i, content := range contents {
		want := wireForm(content)
		if got := b.read(m, i); got != want {
			b.Errorf("%s: message %d is %s, want %s", why, i, brief(got), brief(want))
		}
		if list[i].Size != int64(len(want)) {
			b.Errorf("%s: Size of message %d is %d, want %d: the octets of %s with every line end as CRLF, a missing last one added, no dots stuffed",
				why, i, list[i].Size, len(want), brief(content))
		}
	}
}

// expectLister checks that a maildrop.Lister says what Messages does.
func (b *bench) expectLister(why string, m maildrop.Maildrop, list []maildrop.Message) {
	b.Helper()
	l, ok := m.(maildrop.Lister)
	if !ok {
		return
	}
	var octets int64
	var uids strings.Builder
	for i, msg := range list {
		octets += msg.Size
		fmt.Fprintf(&uids, "%d %s\r\n", i+1, msg.UID)
		if l.Size(i) != msg.Size || l.UID(i) != msg.UID {
			b.Errorf("%s: Size and UID of message %d are %d and %q, want %d and %q, as Messages says", why, i, l.Size(i), l.UID(i), msg.Size, msg.UID)
		}
	}
	if n, sum := l.Totals(); n != len(list) || sum != octets {
		b.Errorf("%s: Totals are %d messages and %d octets, want %d and %d, as Messages says", why, n, sum, len(list), octets)
	}
	if l.UIDs() != uids.String() {
		b.Errorf("%s: UIDs are %s, want %s", why, brief(l.UIDs()), brief(uids.String()))
	}
}

// wants checks that err wraps want.
func (b *bench) wants(what string, err, want error, why string) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("%s: error %v, want one that wraps %q: %s", what, err, want, why)
	}
}
