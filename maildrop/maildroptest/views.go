package maildroptest

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

// longTime is longer than any run of the suite.
const longTime = 24 * time.Hour

// notes gives the notes of an open Maildrop.
func (b *bench) notes(m maildrop.Maildrop) maildrop.Notes {
	b.Helper()
	notes, ok := m.(maildrop.Notes)
	if !ok {
		b.Fatal("Harness.Views is set, and the Maildrop is no maildrop.Notes")
	}
	return notes
}

// aside gives what keeps messages of an open Maildrop aside.
func (b *bench) aside(m maildrop.Maildrop) maildrop.Aside {
	b.Helper()
	aside, ok := m.(maildrop.Aside)
	if !ok {
		b.Fatal("Harness.Views is set, and the Maildrop is no maildrop.Aside")
	}
	return aside
}

// undelete brings messages back and checks their number.
func (b *bench) undelete(why string, since time.Time, want int) {
	b.Helper()
	store, ok := b.Store.(maildrop.Undeleter)
	if !ok {
		b.Fatal("Harness.Views is set, and the Store is no maildrop.Undeleter")
	}
	if got, err := store.Undelete(b.ctx, user, since); err != nil || got != want {
		b.Errorf("Undelete: %d messages, error %v; want %d: %s", got, err, want, why)
	}
}

// setAside sets messages aside in a session of its own and gives the UIDs that
// all had.
func (b *bench) setAside(period time.Duration, marked ...int) []string {
	b.Helper()
	m := b.open(user)
	defer b.close(m)
	if err := b.aside(m).SetAside(b.ctx, marked, period); err != nil {
		b.Fatalf("Aside.SetAside: %v", err)
	}
	return uids(m.Messages())
}

func (b *bench) wantNote(why string, m maildrop.Maildrop, key string, want []byte) {
	b.Helper()
	got, err := b.notes(m).Note(b.ctx, key)
	if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
		b.Errorf("Note(%q) is %s, error %v; want %s: %s", key, brief(string(got)), err, brief(string(want)), why)
	}
}

func checkNotes(b *bench) {
	long := strings.Repeat("k-_9", 16)
	contents := map[string][]byte{"a": []byte("one\r\n\x00\xff"), "b": {}, long: bytes.Repeat([]byte("0123456789"), 100_000)}
	b.create(user)
	b.put(user, "message\r\n")
	m := b.open(user)
	b.wantNote("it was never set", m, "a", nil)
	for key, note := range contents {
		if err := b.notes(m).SetNote(b.ctx, key, []byte("before")); err != nil {
			b.Fatalf("SetNote(%q): %v", key, err)
		}
		given := slices.Clone(note)
		if err := b.notes(m).SetNote(b.ctx, key, given); err != nil {
			b.Fatalf("SetNote(%q): %v", key, err)
		}
		for i := range given {
			given[i] = 'x'
		}
	}
	for key, note := range contents {
		b.wantNote("it was set in this session", m, key, note)
	}
	b.close(m)
	m = b.expectNotes("notes are no messages", user, "message\r\n")
	for key, note := range contents {
		b.wantNote("it was set in the session before", m, key, note)
	}
	b.close(m)
	const other = "other@example.org"
	b.create(other)
	b.put(other, "x")
	m = b.open(other)
	b.wantNote("it was set in another maildrop", m, "a", nil)
	b.close(m)
}

// expectNotes is expect, and leaves the Maildrop open.
func (b *bench) expectNotes(why, name string, contents ...string) maildrop.Maildrop {
	b.Helper()
	m := b.open(name)
	b.expectOpen(why, m, contents...)
	return m
}

func checkNoteKeys(b *bench) {
	b.create(user)
	b.put(user, "message\r\n")
	m := b.open(user)
	for _, key := range []string{"", "A", "a.b", "../a", "a/b", "a b", "ä", strings.Repeat("k", 65)} {
		if err := b.notes(m).SetNote(b.ctx, key, []byte("x")); err == nil {
			b.Errorf("SetNote(%q) succeeds: a key is 1 to 64 octets of a-z, 0-9, - and _", key)
		}
		if _, err := b.notes(m).Note(b.ctx, key); err == nil {
			b.Errorf("Note(%q) succeeds: a key is 1 to 64 octets of a-z, 0-9, - and _", key)
		}
	}
	b.close(m)
	if err := b.notes(m).SetNote(b.ctx, "a", []byte("x")); err == nil {
		b.Error("SetNote after Close succeeds: another session may hold the maildrop")
	}
}

func checkSetAside(b *bench) {
	contents := numbered(5)
	b.create(user)
	b.put(user, contents...)
	m := b.open(user)
	before := uids(m.Messages())
	if err := b.aside(m).SetAside(b.ctx, []int{0, 3, 4}, longTime); err != nil {
		b.Fatalf("Aside.SetAside: %v", err)
	}
	if n := len(m.Messages()); n != len(contents) {
		b.Errorf("Messages lists %d after SetAside, want %d: the list is the same at each call", n, len(contents))
	}
	b.wantKept("three were set aside in this session", m, before[0], before[3], before[4])
	b.close(m)
	b.expect("SetAside takes the messages marked out of the maildrop and no others", user, contents[1], contents[2])
	b.put(user, "new\r\n")
	b.undelete("three were set aside", time.Time{}, 3)
	m = b.open(user)
	b.wantKept("they were brought back", m)
	b.close(m)
	after := b.expectSet("Undelete brings the messages back", append(contents, "new\r\n")...)
	if !slices.Equal(after[:len(before)], before) {
		b.Errorf("the UIDs are %q, and were %q before SetAside and Undelete: messages have the UID that they had", after[:len(before)], before)
	}
	b.undelete("they were brought back before", time.Time{}, 0)
}

// wantKept checks the UIDs of what is kept aside.
func (b *bench) wantKept(why string, m maildrop.Maildrop, want ...string) {
	b.Helper()
	got, err := b.aside(m).Kept(b.ctx)
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		b.Errorf("Kept is %q, error %v; want %q: %s", got, err, want, why)
	}
}

// expectSet checks that the maildrop holds the messages, in any order, and
// gives the UID of each.
func (b *bench) expectSet(why string, contents ...string) []string {
	b.Helper()
	m := b.open(user)
	defer b.close(m)
	list := m.Messages()
	if len(list) != len(contents) {
		b.Fatalf("%s: %d messages are listed, want %d", why, len(list), len(contents))
	}
	found := make(map[string]string)
	for i, msg := range list {
		got := b.read(m, i)
		found[got] = msg.UID
		if msg.Size != int64(len(got)) {
			b.Errorf("%s: Size of %s is %d, want %d", why, brief(got), msg.Size, len(got))
		}
	}
	had := make([]string, len(contents))
	for i, content := range contents {
		if had[i] = found[wireForm(content)]; had[i] == "" {
			b.Errorf("%s: %s is not there", why, brief(content))
		}
	}
	return had
}

func checkRemoveIsFinal(b *bench) {
	contents := numbered(3)
	b.create(user)
	b.put(user, contents...)
	m := b.open(user)
	if err := m.Remove(b.ctx, []int{0}); err != nil {
		b.Fatalf("Maildrop.Remove: %v", err)
	}
	if err := b.aside(m).SetAside(b.ctx, nil, longTime); err != nil {
		b.Errorf("Aside.SetAside of no message: %v", err)
	}
	if err := b.aside(m).SetAside(b.ctx, []int{2}, longTime); err != nil {
		b.Fatalf("Aside.SetAside: %v", err)
	}
	b.close(m)
	b.undelete("one was removed for good, the other set aside", time.Time{}, 1)
	b.expect("what Remove removed does not come back", user, contents[1:]...)
}

func checkUndeleteSince(b *bench) {
	contents := numbered(3)
	b.create(user)
	b.put(user, contents...)
	b.setAside(longTime, 0)
	const apart = 20 * time.Millisecond
	time.Sleep(apart)
	since := time.Now()
	time.Sleep(apart)
	b.setAside(longTime, 0)
	b.undelete("all were removed before since", time.Now().Add(time.Hour), 0)
	b.expect("nothing was removed since", user, contents[2])
	b.undelete("one was removed since, and one before", since, 1)
	b.expectSet("only what was removed since comes back", contents[1], contents[2])
	b.undelete("the other was removed too", time.Time{}, 1)
	b.expectSet("all come back in the end", contents...)
}

func checkAsideExpires(b *bench) {
	contents := numbered(5)
	b.create(user)
	b.put(user, contents...)
	const passes = 20 * time.Millisecond
	b.setAside(longTime, 0)
	b.setAside(time.Nanosecond, 0)
	time.Sleep(passes)
	b.undelete("the time of one of two is up", time.Time{}, 1)
	b.expectSet("a message whose time is up does not come back, the other does", contents[0], contents[2], contents[3], contents[4])
	b.setAside(longTime, 0)
	b.setAside(time.Nanosecond, 0)
	time.Sleep(passes)
	last := b.setAside(longTime, 0)[0]
	m := b.open(user)
	if kept, err := b.aside(m).Kept(b.ctx); err != nil || !slices.Contains(kept, last) {
		b.Errorf("Kept is %q, error %v; want %q in it", kept, err, last)
	}
	b.close(m)
	b.undelete("the time of one of three is up", time.Time{}, 2)
}

func checkUndeleteLock(b *bench) {
	contents := numbered(2)
	b.create(user)
	b.put(user, contents...)
	b.setAside(longTime, 0)
	m := b.open(user)
	n, err := b.Store.(maildrop.Undeleter).Undelete(b.ctx, user, time.Time{})
	b.wants("Undelete while a session is open", err, maildrop.ErrInUse, "messages do not come back while a session counts on the list")
	if n != 0 {
		b.Errorf("Undelete while a session is open brings %d messages back", n)
	}
	b.close(m)
	b.undelete("no session is open any more", time.Time{}, 1)
	b.expectSet("Undelete gives the lock back", contents...)
}
