package bucket_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
)

// takeOne takes one message of a list in, with that content, in a session of its
// own, and gives its key.
func (b *box) takeOne(list []maildrop.Message, i, number int) string {
	b.Helper()
	m := b.open(b.Store)
	defer m.Close()
	in, err := m.(maildrop.Importer).Import(b.Context(), list)
	if err != nil {
		b.Fatal(err)
	}
	if err := in.Put(b.Context(), i, strings.NewReader(content(number))); err != nil {
		b.Fatal(err)
	}
	if err := m.(maildrop.Importer).Relist(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := m.(maildrop.Importer).Settle(b.Context(), true); err != nil {
		b.Fatal(err)
	}
	at := slices.Index(uidsOf(m.Messages()), list[i].UID)
	if at < 0 {
		b.Fatalf("%q was taken in, and is not listed", list[i].UID)
	}
	return bucket.ObjectKey(m, at)
}

// TestHalfWay: two messages that were between the same neighbours, one after the
// other, where there is no room for their time, have each an id of its own: that
// the first arrives late keeps nobody out.
func TestHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		// The 64 bits in front are the same: nothing fits but half way.
		front, came := b.fill(1)[0][:20], time.Now()
		low, next := front+"000000", front+"ZZZZZZ"
		b.removeFirst()
		ids := make(map[string]string)
		ends := []maildrop.Message{{UID: low, Received: came, Size: int64(len(content(0)))}, {UID: next, Received: came, Size: int64(len(content(1)))}}
		if err := b.take(b.Store, ends, none); err != nil {
			t.Fatal(err)
		}
		for n := range 50 {
			list := []maildrop.Message{ends[0], {UID: fmt.Sprint("x", n), Received: came, Size: int64(len(content(2)))}, ends[1]}
			key := b.takeOne(list, 1, 2)
			id, _, _ := strings.Cut(key, ".")
			if !strings.HasPrefix(id, "m/"+front) {
				t.Fatalf("%q is not between its neighbours", key)
			}
			if ids[id] != "" {
				t.Fatalf("%q and %q have one id", key, ids[id])
			}
			ids[id] = key
			m := b.open(b.Store)
			if err := m.Remove(t.Context(), []int{1}); err != nil {
				t.Fatal(err)
			}
			m.Close()
		}
		for _, key := range ids {
			b.store(key, content(2))
		}
		if found := b.stored(); len(found) != len(ids)+2 {
			t.Errorf("%d messages are listed, want %d", len(found), len(ids)+2)
		}
	})
}

// TestIDsOfTwins: a message that is aside, and there twice, keeps both its ids:
// another with its unique-id has neither, is listed, and is set aside by itself.
func TestIDsOfTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bucket.Options{})
		list := []maildrop.Message{{UID: "X", Received: time.Now().Add(-48 * time.Hour).Truncate(time.Second), Size: int64(len(content(0)))}}
		key := b.takeOne(list, 0, 0)
		id, rest, _ := strings.Cut(key, ".")
		lower := id[:22] + "000000." + rest // as between other neighbours
		b.store(lower, content(0))
		b.setAside(1, 1000*time.Hour)
		list[0].Size = int64(len(content(1)))
		other := b.takeOne(list, 0, 1)
		if otherID, _, _ := strings.Cut(other, "."); otherID == id || lower == other {
			t.Errorf("%s has the id of one that is aside: %s", other, id)
		}
		if found := b.stored(); len(found) != 1 || found["X"] != content(1) {
			t.Errorf("listed are %q", found)
		}
		b.setAside(1, 1000*time.Hour)
		b.want(b.stored(), nil, nil)
		if n := len(b.keys("a/")); n != 2 {
			t.Errorf("%d markers for two messages", n)
		}
	})
}
