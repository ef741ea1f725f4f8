package rounds

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// sent enters a message to user 0 and gives its form as it is stored.
func sent(b *books) (*copyOf, []byte) {
	id, copies := b.sending([]int{0})
	return copies[0], stored(newLetter(id, rand.New(rand.NewPCG(id, 0))))
}

// stored puts before a letter what the server does.
func stored(letter []byte) []byte {
	return append([]byte("Return-Path: <"+sender+">\r\nReceived: by mx.example.org;\r\n\tnow\r\n"), letter...)
}

// TestBooks: each thing that must not be is counted as what it is, once, and
// nothing else is.
func TestBooks(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(b *books)
		want Counts // the faults
	}{
		{"acknowledged, retrieved, removed", func(b *books) {
			c, text := sent(b)
			b.answered(c, true)
			b.retrieved(0, b.expected(0), "u", text)
			b.retrieved(0, b.expected(0), "u", text)
			b.quitting([]*copyOf{c})
			b.quit([]*copyOf{c}, true)
			b.settle(0, nil)
		}, Counts{}},
		{"not answered, absent", func(b *books) { sent(b); b.settle(0, nil) }, Counts{}},
		{"not answered, present", func(b *books) {
			c, text := sent(b)
			b.retrieved(0, b.expected(0), "u", text)
			b.settle(0, map[*copyOf]bool{c: true})
		}, Counts{}},
		{"refused, absent", func(b *books) { c, _ := sent(b); b.answered(c, false); b.settle(0, nil) }, Counts{}},
		{"QUIT not answered, gone", func(b *books) {
			c, text := sent(b)
			b.answered(c, true)
			b.retrieved(0, b.expected(0), "u", text)
			b.quitting([]*copyOf{c})
			b.settle(0, nil)
		}, Counts{}},
		{"acknowledged, gone", func(b *books) { c, _ := sent(b); b.answered(c, true); b.settle(0, nil) }, Counts{Lost: 1}},
		{"seen, not answered, gone", func(b *books) { _, text := sent(b); b.retrieved(0, b.expected(0), "u", text); b.settle(0, nil) }, Counts{Lost: 1}},
		{"QUIT removed nothing, gone", func(b *books) {
			c, text := sent(b)
			b.answered(c, true)
			b.retrieved(0, b.expected(0), "u", text)
			b.quitting([]*copyOf{c})
			b.quit([]*copyOf{c}, false)
			b.settle(0, nil)
		}, Counts{Lost: 1}},
		{"QUIT not answered, there again, gone", func(b *books) {
			c, text := sent(b)
			b.answered(c, true)
			b.retrieved(0, b.expected(0), "u", text)
			b.quitting([]*copyOf{c})
			b.retrieved(0, b.expected(0), "u", text)
			b.settle(0, nil)
		}, Counts{Lost: 1}},
		{"not listed", func(b *books) {
			c, text := sent(b)
			d, _ := sent(b)
			b.answered(c, true)
			b.answered(d, true)
			b.retrieved(0, b.expected(0), "u", text)
			b.listed(0, b.expected(0), map[string]bool{"other": true, "one": true})
			b.settle(0, map[*copyOf]bool{c: true, d: true})
		}, Counts{Missing: 1}},
		{"too few listed", func(b *books) {
			c, _ := sent(b)
			b.answered(c, true)
			b.listed(0, b.expected(0), nil)
			b.settle(0, map[*copyOf]bool{c: true})
		}, Counts{Missing: 1}},
		{"more listed", func(b *books) {
			c, text := sent(b)
			b.answered(c, true)
			b.retrieved(0, b.expected(0), "u", text)
			b.listed(0, b.expected(0), map[string]bool{"u": true, "other": true})
		}, Counts{}},
		{"two unique-ids", func(b *books) {
			_, text := sent(b)
			b.retrieved(0, b.expected(0), "u", text)
			b.retrieved(0, b.expected(0), "v", text)
		}, Counts{Duplicate: 1}},
		{"two numbers", func(b *books) {
			_, text := sent(b)
			b.besides(0, b.retrieved(0, b.expected(0), "u", text), "u", "v")
		}, Counts{Duplicate: 1}},
		{"back after QUIT", func(b *books) {
			c, text := sent(b)
			b.quit([]*copyOf{c}, true)
			b.retrieved(0, b.expected(0), "u", text)
		}, Counts{Returned: 1}},
		{"back after the audit", func(b *books) {
			_, text := sent(b)
			b.settle(0, nil)
			b.retrieved(0, b.expected(0), "u", text)
			b.retrieved(0, b.expected(0), "u", text)
		}, Counts{Returned: 1}},
		{"refused, then seen", func(b *books) { c, text := sent(b); b.answered(c, false); b.retrieved(0, b.expected(0), "u", text) }, Counts{Duplicate: 1}},
		{"seen, then refused", func(b *books) { c, text := sent(b); b.retrieved(0, b.expected(0), "u", text); b.answered(c, false) }, Counts{Duplicate: 1}},
		{"broken off, and there", func(b *books) {
			c, text := sent(b)
			b.brokenOff([]*copyOf{c})
			b.retrieved(0, b.expected(0), "u", text)
		}, Counts{Duplicate: 1}},
		{"somebody else's", func(b *books) {
			_, text := sent(b)
			b.retrieved(1, b.expected(1), "u", text)
			b.retrieved(1, b.expected(1), "u", text)
		}, Counts{Stray: 1}},
		{"files left", func(b *books) { b.leftBehind([]string{"new/a", "cur/b"}) }, Counts{Stray: 2}},
		{"torn", func(b *books) {
			c, text := sent(b)
			b.answered(c, true)
			b.retrieved(0, b.expected(0), "u", text[:len(text)-1])
			b.retrieved(0, b.expected(0), "u", text[:len(text)-1])
			b.settle(0, nil)
		}, Counts{Torn: 1}},
	} {
		b := newBooks()
		c.run(b)
		got := b.counted()
		faults := Counts{Lost: got.Lost, Missing: got.Missing, Duplicate: got.Duplicate, Torn: got.Torn, Stray: got.Stray, Returned: got.Returned, Double: got.Double}
		if faults != c.want {
			t.Errorf("%s: counted are %v, want %v; faults are %q", c.name, faults, c.want, b.faults)
		}
		if n := faults.Lost + faults.Missing + faults.Duplicate + faults.Torn + faults.Stray + faults.Returned + faults.Double; n != len(b.faults) {
			t.Errorf("%s: %d faults are counted and %q told", c.name, n, b.faults)
		}
	}
}

// TestBooksCount: what is no fault is counted too.
func TestBooksCount(t *testing.T) {
	b := newBooks()
	c, text := sent(b)
	b.answered(c, true)
	d, other := sent(b)
	b.retrieved(0, b.expected(0), "u", text)
	b.retrieved(0, b.expected(0), "v", other)
	if n := len(b.expected(0).sure); n != 2 || b.backlog() != 2 {
		t.Errorf("%d are expected, and the backlog is %d", n, b.backlog())
	}
	b.quitting([]*copyOf{c, d})
	if n := len(b.expected(0).sure); n != 0 {
		t.Errorf("while QUIT is not answered %d are expected", n)
	}
	b.quit([]*copyOf{c, d}, true)
	e, _ := sent(b)
	b.answered(e, false)
	f, _ := sent(b)
	b.brokenOff([]*copyOf{f})
	b.settle(0, nil)
	want := Counts{Acknowledged: 1, Refused: 1, BrokenOff: 1, Unanswered: 1, Unacknowledged: 1, Retrieved: 2, Removed: 2, Sessions: 1}
	if got := b.counted(); got != want {
		t.Errorf("counted are %+v, want %+v", got, want)
	}
}

// TestLetter: a message is whole with every octet in its place, and only so.
func TestLetter(t *testing.T) {
	numbers := rand.New(rand.NewPCG(1, 2))
	shortest, longest := largest, 0
	for id := range uint64(400) {
		letter := newLetter(id, numbers)
		shortest, longest = min(shortest, len(letter)), max(longest, len(letter))
		if got, whole, ok := readLetter(stored(letter)); got != id || !whole || !ok {
			t.Fatalf("letter %d is read as %d, whole %t, found %t", id, got, whole, ok)
		}
		if lf := bytes.Count(letter, []byte("\n")); lf != bytes.Count(letter, []byte("\r\n")) || lf != bytes.Count(letter, []byte("\r")) {
			t.Fatalf("letter %d has a line end other than CRLF", id)
		}
		data := string(stuffed(letter))
		if strings.Index("\r\n"+data, "\r\n.\r\n") != len(data)-3 {
			t.Fatalf("letter %d ends too early, or never", id)
		}
	}
	if shortest > 2*smallest || longest < largest/2 {
		t.Errorf("letters have %d to %d octets", shortest, longest)
	}
	numbers = rand.New(rand.NewPCG(3, 4))
	letter := newLetter(4711, numbers)
	for len(letter) > 1000 {
		letter = newLetter(4711, numbers)
	}
	text := stored(letter)
	for i := range text {
		if id, whole, ok := readLetter(text[:i]); whole || ok && id != 4711 {
			t.Errorf("cut to %d octets it is letter %d, whole %t", i, id, whole)
		}
		if _, whole, _ := readLetter(text[i+1:]); whole {
			t.Errorf("without its first %d octets it is whole", i+1)
		}
		if i < len(text)-len(letter) && i >= len("Return-Path: <"+sender+">\r\n") {
			continue // the server's other lines
		}
		changed := bytes.Clone(text)
		changed[i] ^= 1
		if _, whole, _ := readLetter(changed); whole {
			t.Errorf("with another octet at %d it is whole", i)
		}
	}
	if _, whole, _ := readLetter(append(bytes.Clone(text), "\r\n"...)); whole {
		t.Error("with a line more it is whole")
	}
}

// TestVerdict: harm, refusals and idleness are failures.
func TestVerdict(t *testing.T) {
	good := Counts{Acknowledged: 1, Retrieved: 1, Removed: 1}
	if err := (&Result{Counts: good}).Verdict(); err != nil {
		t.Errorf("a good run: %v", err)
	}
	for _, change := range []func(*Counts){
		func(c *Counts) { c.Lost = 1 }, func(c *Counts) { c.Missing = 1 }, func(c *Counts) { c.Duplicate = 1 },
		func(c *Counts) { c.Torn = 1 }, func(c *Counts) { c.Stray = 1 }, func(c *Counts) { c.Refused = 1 }, func(c *Counts) { c.Returned = 1 }, func(c *Counts) { c.Double = 1 },
		func(c *Counts) { c.Acknowledged = 0 }, func(c *Counts) { c.Retrieved = 0 }, func(c *Counts) { c.Removed = 0 },
	} {
		bad := good
		change(&bad)
		if err := (&Result{Counts: bad}).Verdict(); err == nil {
			t.Errorf("%+v is a good run", bad)
		}
	}
}
