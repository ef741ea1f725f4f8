package maildir

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestOldIndex: the index of an earlier version keeps UIDs and order, and is
// replaced.
func TestOldIndex(t *testing.T) {
	b := newBox(t, Options{})
	fill(b)
	m := b.open()
	records := m.(*session).records()
	m.Close()
	slices.Reverse(records)
	records[0].uid = "as-it-was"
	b.foreign(indexName, string(encodeOld(&index{}, records)))
	s, err := New(Options{Path: filepath.Dir(b.path) + "/{user}"})
	if err != nil {
		t.Fatal(err)
	}
	b.Store = s
	var want []string
	for _, r := range records {
		want = append(want, r.uid)
	}
	for range 2 {
		b.wantUIDs("with an old index", want...)
	}
	data, err := os.ReadFile(filepath.Join(b.path, indexName))
	if err != nil || string(data[:len(indexMagic)]) != indexMagic {
		t.Errorf("the index was not written anew: %.20q, %v", data, err)
	}
}

// TestJournal: a large index is added to, whatever is at its end, and written
// whole again before its journal is long.
func TestJournal(t *testing.T) {
	b := newBox(t, Options{})
	b.terms.journalFrom, b.terms.tick = 1, -time.Hour // nobody else is there
	want := fill(b)
	b.list()
	size := func() int64 {
		info, err := os.Stat(filepath.Join(b.path, indexName))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	whole, longest := size(), int64(0)
	for i := range 3 * maxEntries {
		name := "1800000000.M1P1.host"
		if i%2 == 0 {
			b.write("new/"+name, "x")
			b.wantUIDs("with the index in memory", append(slices.Clone(want), name)...)
		} else {
			b.remove("new/" + name)
			b.wantUIDs("without it", want...)
		}
		b.cache.drop(b.path)
		longest = max(longest, size())
	}
	if longest < 2*whole || longest > 30*whole {
		t.Errorf("the index had %d octets, and with its journal at most %d", whole, longest)
	}
}
