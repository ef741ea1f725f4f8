package maildroptest

import (
	"maps"
	"slices"
	"strings"
	"testing/iotest"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
)

func checkEmpty(b *bench) {
	b.create(user)
	if b.Create == nil {
		b.put(user, "x")
		m := b.open(user)
		if err := m.Remove(b.ctx, []int{0}); err != nil {
			b.Fatalf("Maildrop.Remove: %v", err)
		}
		b.close(m)
	}
	b.expect("a maildrop without messages opens, and lists none", user)
}

func checkListing(b *bench) {
	contents := numbered(12)
	b.create(user)
	b.put(user, contents...)
	m := b.open(user)
	defer b.close(m)
	b.expectOpen("Messages lists the messages, oldest first", m, contents...)
	first := slices.Clone(m.Messages())
	if !slices.Equal(first, m.Messages()) {
		b.Error("Messages gives another list at the second call: it must be the same at each")
	}
}

func checkSizes(b *bench) {
	b.create(user)
	names := slices.Sorted(maps.Keys(nasty))
	for _, name := range names {
		b.put(user, nasty[name])
	}
	m := b.open(user)
	defer b.close(m)
	list := m.Messages()
	if len(list) != len(names) {
		b.Fatalf("%d messages are listed, want %d", len(list), len(names))
	}
	for i, name := range names {
		want := wireForm(nasty[name])
		if list[i].Size != int64(len(want)) {
			b.Errorf("message with %s, %s: Size is %d, want %d: every line end counts as CRLF, a missing last one is added, dots are not stuffed",
				name, brief(nasty[name]), list[i].Size, len(want))
		}
		if got := b.read(m, i); got != want {
			b.Errorf("message with %s: reads as %s, want %s", name, brief(got), brief(want))
		}
	}
}

func checkLongLine(b *bench) {
	line := strings.Repeat("0123456789abcdef", 1<<16)
	contents := []string{line, "", line + "\n." + line + "\r\n"}
	b.create(user)
	b.put(user, contents...)
	b.expect("a line of 1 MB and an empty message", user, contents...)
}

func checkReadTwice(b *bench) {
	b.create(user)
	b.put(user, numbered(2)...)
	m := b.open(user)
	defer b.close(m)
	r, err := m.Open(b.ctx, 0)
	if err != nil {
		b.Fatalf("Maildrop.Open: %v", err)
	}
	r.Read(make([]byte, 3))
	if err := r.Close(); err != nil {
		b.Errorf("closing a message after its first octets: %v", err)
	}
	b.expectOpen("reading a message changes nothing", m, numbered(2)...)
	b.expectOpen("a message can be read again", m, numbered(2)...)
	r, err = m.Open(b.ctx, 1)
	if err != nil {
		b.Fatalf("Maildrop.Open: %v", err)
	}
	defer r.Close()
	if err := iotest.TestReader(iotest.OneByteReader(r), []byte(stored(b, m, 1))); err != nil {
		b.Errorf("the reader of a message: %v", err)
	}
}

// stored gives a message as it is stored.
func stored(b *bench, m maildrop.Maildrop, i int) string {
	b.Helper()
	r, err := m.Open(b.ctx, i)
	if err != nil {
		b.Fatalf("Maildrop.Open(%d): %v", i, err)
	}
	defer r.Close()
	var content strings.Builder
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		content.Write(buf[:n])
		if err != nil {
			return content.String()
		}
	}
}

func checkReceived(b *bench) {
	b.create(user)
	began := time.Now().Add(-time.Minute)
	b.put(user, "x")
	m := b.open(user)
	defer b.close(m)
	for _, msg := range m.Messages() {
		if at := msg.Received; !at.IsZero() && (at.Before(began) || at.After(time.Now().Add(time.Minute))) {
			b.Errorf("Received is %v for a message that came just now: it must be when the message came, or zero", at)
		}
	}
}
