package maildroptest

import (
	"fmt"
	"slices"

	"github.com/poplin-mail/poplin/maildrop"
)

// errorf makes the error of a goroutine of the suite.
var errorf = fmt.Errorf

// uids gives the UIDs of a list.
func uids(list []maildrop.Message) []string {
	s := make([]string, len(list))
	for i, m := range list {
		s[i] = m.UID
	}
	return s
}

func checkCloseRemovesNothing(b *bench) {
	b.create(user)
	b.put(user, numbered(3)...)
	b.close(b.open(user))
	b.expect("Close removes nothing", user, numbered(3)...)
}

func checkRemove(b *bench) {
	contents := numbered(7)
	b.create(user)
	b.put(user, contents...)
	m := b.open(user)
	before := uids(m.Messages())
	if err := m.Remove(b.ctx, []int{0, 2, 3, 6}); err != nil {
		b.Fatalf("Maildrop.Remove: %v", err)
	}
	if n := len(m.Messages()); n != len(contents) {
		b.Errorf("Messages lists %d after Remove, want %d: the list is the same at each call", n, len(contents))
	}
	b.close(m)
	list := b.expect("Remove deletes the messages marked and no others", user, contents[1], contents[4], contents[5])
	if want := []string{before[1], before[4], before[5]}; !slices.Equal(uids(list), want) {
		b.Errorf("the UIDs of the messages that stayed are %q, want %q: a UID is the same in every session", uids(list), want)
	}
}

func checkRemoveNothing(b *bench) {
	b.create(user)
	b.put(user, numbered(2)...)
	m := b.open(user)
	if err := m.Remove(b.ctx, nil); err != nil {
		b.Errorf("Maildrop.Remove of no message: %v", err)
	}
	b.close(m)
	b.expect("Remove of no message deletes none", user, numbered(2)...)
}

func checkRemoveAll(b *bench) {
	b.create(user)
	b.put(user, numbered(3)...)
	m := b.open(user)
	if err := m.Remove(b.ctx, []int{0, 1, 2}); err != nil {
		b.Errorf("Maildrop.Remove: %v", err)
	}
	b.close(m)
	b.expect("Remove deletes all messages where all are marked", user)
}

func checkRemoveLeavesNewMail(b *bench) {
	contents := numbered(3)
	b.create(user)
	b.put(user, contents[:2]...)
	m := b.open(user)
	b.put(user, contents[2])
	if err := m.Remove(b.ctx, []int{0, 1}); err != nil {
		b.Errorf("Maildrop.Remove: %v", err)
	}
	b.close(m)
	b.expect("Remove does not delete mail that came after Open", user, contents[2])
}

func checkGone(b *bench) {
	if b.Discard == nil {
		return
	}
	contents := numbered(4)
	b.create(user)
	b.put(user, contents...)
	m := b.open(user)
	for _, i := range []int{1, 2} {
		if err := b.Discard(user, m.Messages()[i].UID); err != nil {
			b.Fatalf("Harness.Discard: %v", err)
		}
	}
	if r, err := m.Open(b.ctx, 1); err == nil {
		r.Close()
		b.Error("Maildrop.Open of a message that another program removed succeeds, want ErrGone")
	} else {
		b.wants("Maildrop.Open of a message that another program removed", err, maildrop.ErrGone, "the client is told so, and never gets another message")
	}
	if got := b.read(m, 3); got != wireForm(contents[3]) {
		b.Errorf("message 3 is %s after message 1 was removed by another program, want %s: numbers never shift", brief(got), brief(contents[3]))
	}
	if err := m.Remove(b.ctx, []int{0, 1}); err != nil {
		b.Errorf("Maildrop.Remove: %v; a message that another program removed already counts as removed", err)
	}
	b.close(m)
	b.expect("what another program removed is gone, and so is what was marked", user, contents[3])
}

func checkUIDs(b *bench) {
	b.create(user)
	b.put(user, "same\r\n", "same\r\n", "other\r\n")
	first := uids(b.expect("two equal messages are two", user, "same\r\n", "same\r\n", "other\r\n"))
	seen := make(map[string]bool)
	for i, uid := range first {
		if !validUID(uid) {
			b.Errorf("UID %q of message %d is not 1 to 70 octets of 0x21 to 0x7E", uid, i)
		}
		if seen[uid] {
			b.Errorf("UID %q is listed twice: UIDs are different for every message of the maildrop, equal ones too", uid)
		}
		seen[uid] = true
	}
	b.put(user, "new\r\n")
	m := b.open(user)
	defer b.close(m)
	if again := uids(m.Messages()); !slices.Equal(again[:len(first)], first) {
		b.Errorf("UIDs are %q in one session and %q in the next: they must be the same in every session", first, again)
	}
}

// validUID tells whether s is a unique-id (RFC 1939 section 7, UIDL).
func validUID(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 70
}

func checkUIDsNotReused(b *bench) {
	used := make(map[string]bool)
	b.create(user)
	for range 5 {
		b.put(user, "same\r\n", "same\r\n")
		m := b.open(user)
		list := m.Messages()
		var marked []int
		for i, msg := range list {
			if used[msg.UID] {
				b.Errorf("UID %q was of a message that is removed: it is never used again for another", msg.UID)
			}
			used[msg.UID] = true
			marked = append(marked, i)
		}
		if err := m.Remove(b.ctx, marked); err != nil {
			b.Errorf("Maildrop.Remove: %v", err)
		}
		b.close(m)
	}
}
