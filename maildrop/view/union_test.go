package view

import (
	"testing"
)

// TestUnion: what one of two notes hides is hidden, once; of two of which one
// is damaged, or missing an end, there is none.
func TestUnion(t *testing.T) {
	note := func(uids ...string) []byte {
		var h hidden
		for _, uid := range uids {
			h = h.with([]sum{sumOf(uid)})
		}
		return h.encode()
	}
	got, err := Union(note("a", "b"), note("c", "b"))
	if err != nil || string(got) != string(note("a", "b", "c")) {
		t.Errorf("Union is %q, error %v", got, err)
	}
	if got, err := Union(nil, note("a")); err != nil || string(got) != string(note("a")) {
		t.Errorf("Union with nothing is %q, error %v", got, err)
	}
	for _, bad := range [][]byte{{}, []byte("x"), note("a")[1:]} {
		for _, pair := range [][2][]byte{{bad, note("a")}, {note("a"), bad}} {
			if got, err := Union(pair[0], pair[1]); err == nil {
				t.Errorf("Union of %q and %q is %q", pair[0], pair[1], got)
			}
		}
	}
}
