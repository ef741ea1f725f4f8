package maildir

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func uidsOfRecords(records []record) []string {
	uids := make([]string, len(records))
	for i := range records {
		uids[i] = records[i].uid
	}
	return uids
}

// TestHasAnyOf: whether an order has one of a few messages or of many is the
// same question, wherever its line is, and whether the last one has an end.
func TestHasAnyOf(t *testing.T) {
	for text, has := range map[order]bool{
		"": false, "\n": false, "x": true, "x\n": true, "a\nx\nb\n": true, "a\nx": true, "a\n\nx": true, "x\nb": true,
		"xx\n": false, "xx": false, "a\nyx": false, "xy\nyx\n": false, " x\n": false, "x \n": false,
	} {
		for n := 1; n <= 2*few; n++ {
			came := slices.Repeat([]record{{uid: "other"}}, n)
			if text.hasAnyOf(came) {
				t.Errorf("%q has one of %d that it has not", text, n)
			}
			came[n-1].uid = "x"
			if got := text.hasAnyOf(came); got != has {
				t.Errorf("%q has one of %d: %v, want %v", text, n, got, has)
			}
		}
	}
}

// TestOrderSorts: whatever an order says, it brings no message twice and leaves
// none out; what is known, and what it does not name, stays in its order.
func TestOrderSorts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pool := []string{"a", "aa", "aaa", "b", "ba", "ab", "c", "cc", "d", "e", "f", "g", "h", "i", "j", "k"}
	lines := append([]string{"", "a\r"}, pool...)
	moved := 0
	for n := range 40_000 {
		var text strings.Builder
		for range rng.IntN(14) {
			text.WriteString(lines[rng.IntN(len(lines))])
			if rng.IntN(12) > 0 {
				text.WriteString("\n")
			}
		}
		o := order(text.String())
		var records, known []record
		for _, i := range rng.Perm(len(pool))[:rng.IntN(len(pool))] {
			r := record{uid: pool[i]}
			records = append(records, r)
			if rng.IntN(2) == 0 {
				known = append(known, r)
			}
		}
		before := uidsOfRecords(records)
		after := uidsOfRecords(o.sort(slices.Clone(records), known))
		if !slices.Equal(slices.Sorted(slices.Values(before)), slices.Sorted(slices.Values(after))) {
			t.Fatalf("%d: %q by %q is %q", n, before, o, after)
		}
		listed, old := slices.Collect(o.uids()), uidsOfRecords(known)
		fresh := func(uid string) bool { return slices.Contains(listed, uid) && !slices.Contains(old, uid) }
		if a, b := without(before, fresh), without(after, fresh); !slices.Equal(a, b) {
			t.Fatalf("%d: %q by %q is %q: what stays is %q", n, before, o, after, b)
		}
		if !slices.Equal(before, after) {
			moved++
		}
	}
	if moved < 1000 {
		t.Errorf("only %d orders brought anything elsewhere", moved)
	}
}

func without(uids []string, leave func(uid string) bool) []string {
	return slices.DeleteFunc(slices.Clone(uids), leave)
}
