package trial

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const seed = 7

// sent enters an attempt to send a message to user 0, and gives its form as it
// is stored.
func sent(b *books, o outcome) (letterOf, []byte) {
	l := letterOf{b.newMessage(), 1}
	b.sending(l, []int{0})
	if o != pending {
		b.answered(0, l, o)
	}
	return l, stored(l)
}

// stored puts before a letter what the server does.
func stored(l letterOf) []byte {
	return append([]byte("Return-Path: <"+sender+">\r\nReceived: by mx.example.org;\r\n\tnow\r\n"), l.text(seed)...)
}

// TestBooks: each thing that must not be is counted as what it is, and nothing
// else is.
func TestBooks(t *testing.T) {
	begun := time.Now()
	for _, c := range []struct {
		name string
		run  func(b *books)
		want Counts // the faults, and what is of interest
	}{
		{"acknowledged, retrieved, removed", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.retrieved(0, "u", text)
			b.quitting(0, []string{"u"})
			b.quit(0, []string{"u"}, begun)
			b.settle(0, nil)
		}, Counts{}},
		{"not answered, absent", func(b *books) { sent(b, unanswered); b.settle(0, nil) }, Counts{}},
		{"not answered, present", func(b *books) {
			_, text := sent(b, unanswered)
			b.retrieved(0, "u", text)
			b.settle(0, []string{"u"})
		}, Counts{Unacknowledged: 1}},
		{"refused, seen, gone", func(b *books) {
			_, text := sent(b, refused)
			b.retrieved(0, "u", text)
			b.settle(0, nil)
		}, Counts{Unacknowledged: 1, Withdrawn: 1}},
		{"two attempts, both there", func(b *books) {
			l, text := sent(b, refused)
			b.retrieved(0, "u", text)
			l.attempt = 2
			b.sending(l, []int{0})
			b.answered(0, l, acknowledged)
			b.retrieved(0, "v", stored(l))
			b.settle(0, []string{"u", "v"})
		}, Counts{Unacknowledged: 1, Twice: 1}},
		{"QUIT not answered, gone", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.quitting(0, []string{"u"})
			b.settle(0, nil)
		}, Counts{}},
		{"QUIT not answered, there again, gone", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.quitting(0, []string{"u"})
			b.retrieved(0, "u", text)
			b.settle(0, nil)
		}, Counts{}},
		{"removed and back, told once", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.quitting(0, []string{"u"})
			b.quit(0, []string{"u"}, begun)
			b.listed(0, b.expected(0), []string{"u"}, begun.Add(1))
			b.listed(0, b.expected(0), []string{"u"}, begun.Add(2))
			b.settle(0, []string{"u"})
		}, Counts{Back: 1}},
		{"listed by a session that began before the removal", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.quitting(0, []string{"u"})
			b.quit(0, []string{"u"}, begun)
			b.listed(0, b.expected(0), []string{"u"}, begun.Add(-1))
		}, Counts{}},
		{"acknowledged, gone", func(b *books) { sent(b, acknowledged); b.settle(0, nil) }, Counts{Lost: 1}},
		{"acknowledged, seen, gone", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.settle(0, nil)
		}, Counts{Unmarked: 1}},
		{"seen, then acknowledged, gone", func(b *books) {
			l, text := sent(b, pending)
			b.retrieved(0, "u", text)
			b.answered(0, l, acknowledged)
			b.settle(0, nil)
		}, Counts{Unmarked: 1}},
		{"not listed", func(b *books) {
			_, text := sent(b, acknowledged)
			sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.listed(0, b.expected(0), []string{"new"}, begun)
		}, Counts{Missing: 1}},
		{"seen, then acknowledged, not listed", func(b *books) {
			l, text := sent(b, pending)
			b.retrieved(0, "u", text)
			b.answered(0, l, acknowledged)
			b.listed(0, b.expected(0), nil, begun)
		}, Counts{Missing: 1}},
		{"removed while somebody logs in", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			e := b.expected(0)
			b.quitting(0, []string{"u"})
			b.listed(0, e, nil, begun)
		}, Counts{}},
		{"too few listed", func(b *books) {
			sent(b, acknowledged)
			sent(b, acknowledged)
			sent(b, acknowledged)
			b.listed(0, b.expected(0), []string{"one"}, begun)
		}, Counts{Missing: 2}},
		{"more listed", func(b *books) {
			sent(b, acknowledged)
			b.listed(0, b.expected(0), []string{"one", "two"}, begun)
		}, Counts{}},
		{"two unique-ids", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.retrieved(0, "v", text)
		}, Counts{Doubled: 1}},
		{"another message under the same unique-id", func(b *books) {
			_, text := sent(b, acknowledged)
			_, other := sent(b, acknowledged)
			b.retrieved(0, "u", text)
			b.retrieved(0, "u", other)
		}, Counts{Corrupt: 1}},
		{"corrupt, once for each unique-id", func(b *books) {
			_, text := sent(b, acknowledged)
			text[len(text)-3] ^= 1
			b.retrieved(0, "u", text)
			b.retrieved(0, "u", text)
			b.settle(0, []string{"u"})
		}, Counts{Corrupt: 1, Unacknowledged: 0}},
		{"somebody else's", func(b *books) {
			_, text := sent(b, acknowledged)
			b.retrieved(1, "u", text)
		}, Counts{Stray: 1}},
		{"left in the store", func(b *books) { b.leftBehind(0, []string{"a", "b"}) }, Counts{Stray: 2}},
	} {
		b := newBooks(seed, []string{"ada", "bob"})
		c.run(b)
		got := b.counted()
		seen := Counts{Unacknowledged: got.Unacknowledged, Twice: got.Twice, Withdrawn: got.Withdrawn, Back: got.Back, Lost: got.Lost,
			Unmarked: got.Unmarked, Missing: got.Missing, Corrupt: got.Corrupt, Doubled: got.Doubled, Stray: got.Stray}
		if seen != c.want {
			t.Errorf("%s: counted are %+v, want %+v; faults %q, notes %q", c.name, seen, c.want, b.faults, b.notes)
		}
		if (seen.harm() > 0) != (len(b.faults) > 0) {
			t.Errorf("%s: faults are told as %q", c.name, b.faults)
		}
	}
}

// TestLetter: what comes back is known for what it is, and a change of any
// octet is found.
func TestLetter(t *testing.T) {
	for id := range uint64(20) {
		l := letterOf{id, 1 + int(id%3)}
		message := stored(l)
		if got, whole, ok := readLetter(seed, message); got != l || !whole || !ok {
			t.Fatalf("%v is read as %v, whole %t, %t", l, got, whole, ok)
		}
		begin := bytes.Index(message, []byte("\r\n\r\n"))
		for at := begin; at < len(message); at += 1 + rand.IntN(4000) {
			bad := bytes.Clone(message)
			bad[at] ^= 4
			if _, whole, _ := readLetter(seed, bad); whole {
				t.Fatalf("%v is whole with another octet at %d of %d", l, at, len(bad))
			}
		}
		for _, bad := range [][]byte{message[:len(message)-2], append(bytes.Clone(message), "\r\n"...), message[10:]} {
			if _, whole, _ := readLetter(seed, bad); whole {
				t.Fatalf("%v is whole with %d octets of %d", l, len(bad), len(message))
			}
		}
	}
	if _, _, ok := readLetter(seed, []byte("Subject: x\r\n\r\n"+strings.ReplaceAll(letterLine, "%d", "1"))); ok {
		t.Error("a body says what a message is")
	}
	if a, b := (letterOf{1, 1}).text(seed), (letterOf{1, 2}).text(seed); bytes.Equal(a, b) {
		t.Error("two attempts are the same")
	}
	text := letterOf{3, 1}.text(seed)
	if bytes.Contains(stuffed(text), []byte("\n.\r\n")) && !bytes.HasSuffix(stuffed(text), []byte("\r\n.\r\n")) {
		t.Error("the data ends early")
	}
}
