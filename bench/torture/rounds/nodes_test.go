package rounds

import "testing"

// TestBooksOfNodes: what differs where a store may do late what a node asked
// for. What is promised is promised there too.
func TestBooksOfNodes(t *testing.T) {
	all := map[string]bool{"u": true}
	for _, c := range []struct {
		name string
		run  func(b *books)
		want Counts
	}{
		{"refused, and there", func(b *books) {
			c, text := sent(b)
			b.answered(c, false)
			b.retrieved(0, b.expected(0), "u", text)
			b.retrieved(0, b.expected(0), "u", text)
			b.settle(0, nil)
		}, Counts{RefusedPresent: 1}},
		{"there, and refused", func(b *books) {
			c, text := sent(b)
			b.retrieved(0, b.expected(0), "u", text)
			b.answered(c, false)
			b.settle(0, nil)
		}, Counts{RefusedPresent: 1}},
		{"broken off, and there", func(b *books) {
			c, text := sent(b)
			b.brokenOff([]*copyOf{c})
			b.retrieved(0, b.expected(0), "u", text)
		}, Counts{Duplicate: 1}},
		{"seen, not acknowledged, gone", func(b *books) {
			_, text := sent(b)
			b.retrieved(0, b.expected(0), "u", text)
			b.listed(0, b.expected(0), nil)
			b.settle(0, nil)
		}, Counts{}},
		{"acknowledged, gone", func(b *books) { c, _ := sent(b); b.answered(c, true); b.settle(0, nil) }, Counts{Lost: 1}},
		{"QUIT not answered, there again, gone", func(b *books) {
			c, text := sent(b)
			b.answered(c, true)
			b.quitting([]*copyOf{c})
			b.retrieved(0, b.expected(0), "u", text)
			b.settle(0, nil)
		}, Counts{}},
		{"QUIT of one removed nothing, that of another is not answered, gone", func(b *books) {
			c, _ := sent(b)
			b.answered(c, true)
			b.quitting([]*copyOf{c})
			b.quitting([]*copyOf{c})
			b.quit([]*copyOf{c}, false)
			b.settle(0, nil)
		}, Counts{}},
		{"QUIT removed nothing, gone", func(b *books) {
			c, _ := sent(b)
			b.answered(c, true)
			b.quitting([]*copyOf{c})
			b.quit([]*copyOf{c}, false)
			b.settle(0, nil)
		}, Counts{Lost: 1}},
		{"another session asks for its removal before it is listed", func(b *books) {
			c, text := sent(b)
			b.answered(c, true)
			b.retrieved(0, b.expected(0), "u", text)
			e := b.expected(0)
			b.quitting([]*copyOf{c})
			b.listed(0, e, nil)
		}, Counts{}},
		{"removed by another session while it is read", func(b *books) {
			c, text := sent(b)
			e := b.expected(0)
			b.quitting([]*copyOf{c})
			b.quit([]*copyOf{c}, true)
			b.retrieved(0, e, "u", text)
		}, Counts{}},
		{"removed, then read", func(b *books) {
			c, text := sent(b)
			b.quitting([]*copyOf{c})
			b.quit([]*copyOf{c}, true)
			b.retrieved(0, b.expected(0), "u", text)
		}, Counts{Returned: 1}},
		{"removed, then listed", func(b *books) {
			c, text := sent(b)
			before := b.expected(0)
			b.retrieved(0, before, "u", text)
			b.quitting([]*copyOf{c})
			b.quit([]*copyOf{c}, true)
			b.listed(0, before, all)
			b.listed(0, b.expected(0), all)
			b.listed(0, b.expected(0), all)
		}, Counts{Returned: 1}},
		{"not listed", func(b *books) {
			c, text := sent(b)
			d, other := sent(b)
			b.answered(c, true)
			b.answered(d, true)
			b.retrieved(0, b.expected(0), "u", text)
			b.retrieved(0, b.expected(0), "v", other)
			b.listed(0, b.expected(0), all)
		}, Counts{Missing: 1}},
	} {
		b := newBooks()
		b.late = true
		c.run(b)
		got := b.counted()
		faults := Counts{Lost: got.Lost, Missing: got.Missing, Duplicate: got.Duplicate, Returned: got.Returned, Torn: got.Torn, Stray: got.Stray,
			RefusedPresent: got.RefusedPresent}
		if faults != c.want {
			t.Errorf("%s: counted are %+v, want %+v; faults are %q", c.name, faults, c.want, b.faults)
		}
	}
}

// TestHolders: two sessions at the same time are a fault, unless one of them
// could lose its lease, or has ended without our knowing.
func TestHolders(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(b *books, s, other *server)
		want int
	}{
		{"both at once", func(b *books, s, other *server) {
			first, second := b.arriving(s, 0), b.arriving(other, 0)
			b.hold(first)
			b.hold(second)
			b.letGo(first)
			b.wasAlone(first)
		}, 1},
		{"one after the other", func(b *books, s, other *server) {
			first, second := b.arriving(s, 0), b.arriving(other, 0)
			b.hold(first)
			b.letGo(first)
			b.hold(second)
			b.wasAlone(first)
			b.letGo(second)
			b.wasAlone(second)
		}, 0},
		{"of two maildrops", func(b *books, s, other *server) {
			first, second := b.arriving(s, 0), b.arriving(other, 1)
			b.hold(first)
			b.hold(second)
			b.wasAlone(first)
		}, 0},
		{"the first was stopped", func(b *books, s, other *server) {
			first, second := b.arriving(s, 0), b.arriving(other, 0)
			b.hold(first)
			s.stops.Add(1)
			b.hold(second)
			b.wasAlone(first)
		}, 0},
		{"the second was stopped while it logged in", func(b *books, s, other *server) {
			first, second := b.arriving(s, 0), b.arriving(other, 0)
			b.hold(first)
			other.stops.Add(1)
			b.hold(second)
			b.wasAlone(first)
		}, 0},
		{"the first was killed", func(b *books, s, other *server) {
			first, second := b.arriving(s, 0), b.arriving(other, 0)
			b.hold(first)
			s.killed.Store(true)
			b.hold(second)
		}, 0},
		{"the store was away", func(b *books, s, other *server) {
			first, second := b.arriving(s, 0), b.arriving(other, 0)
			b.hold(first)
			b.count.Outages++
			b.hold(second)
			b.wasAlone(first)
		}, 0},
	} {
		b := newBooks()
		c.run(b, &server{}, &server{})
		if got := b.counted().Double; got != c.want {
			t.Errorf("%s: %d are counted, want %d", c.name, got, c.want)
		}
	}
}

// TestVerdictOfNodes: a run in which little was broken shows nothing, and
// deliveries may be refused.
func TestVerdictOfNodes(t *testing.T) {
	good := Counts{Acknowledged: 1, Retrieved: 1, Removed: 1, Kills: 1, LongStops: 1, GatewayKills: 1, InUse: 1, Refused: 1, RefusedPresent: 1}
	if err := (&Result{late: true, Counts: good}).Verdict(); err != nil {
		t.Errorf("a good run: %v", err)
	}
	for _, change := range []func(*Counts){
		func(c *Counts) { c.Kills = 0 }, func(c *Counts) { c.LongStops = 0 }, func(c *Counts) { c.GatewayKills = 0 }, func(c *Counts) { c.InUse = 0 },
		func(c *Counts) { c.Double = 1 }, func(c *Counts) { c.Lost = 1 }, func(c *Counts) { c.Returned = 1 },
	} {
		bad := good
		change(&bad)
		if err := (&Result{late: true, Counts: bad}).Verdict(); err == nil {
			t.Errorf("%+v is a good run", bad)
		}
	}
}
