package disk

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// block gives a block of one letter.
func block(letter byte) []byte { return bytes.Repeat([]byte{letter}, 4096) }

// letters reads a device of blocks of one letter each: "?" for those that are
// of two.
func letters(image []byte) string {
	var s []byte
	for b := range slices.Chunk(image, 4096) {
		letter := b[0]
		if !bytes.Equal(b, block(letter)) {
			letter = '?'
		}
		s = append(s, letter)
	}
	return string(s)
}

// pastLog has four blocks: "aaaa", then a is written to b, and flushed.
func pastLog() *Log {
	l := NewLog(bytes.Repeat(block('a'), 4))
	l.write(block('b'), 0)
	l.flush()
	l.write(append(block('c'), block('c')...), 4096)
	l.write(block('d'), 8192)
	l.flush()
	l.write(block('e'), 0)
	return l
}

// outcomes gives what crashes at that moment leave.
func outcomes(t *testing.T, moment int, loss Loss, unflushed int) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	numbers := rand.New(rand.NewPCG(1, 2))
	player := NewPlayer(pastLog())
	image := make([]byte, player.Size())
	for range 200 {
		if n := player.Crash(image, moment, loss, numbers); n != unflushed {
			t.Fatalf("%d writes were at stake at %d, not %d", n, moment, unflushed)
		}
		all[letters(image)] = true
	}
	return all
}

func TestCrash(t *testing.T) {
	for _, c := range []struct {
		moment, unflushed int
		loss              Loss
		want              []string
	}{
		{0, 0, Kept, []string{"aaaa"}},
		{1, 1, Dropped, []string{"aaaa"}},
		{1, 1, Kept, []string{"baaa"}},
		{1, 1, Shuffled, []string{"aaaa", "baaa"}},
		{2, 0, Dropped, []string{"baaa"}},
		{4, 2, Dropped, []string{"baaa"}},
		{4, 2, Kept, []string{"bcda"}},
		{4, 2, Shuffled, []string{"baaa", "bada", "bcca", "bcda"}},
		{4, 2, TornBlocks, []string{"baaa", "baca", "bada", "bcaa", "bcca", "bcda"}},
		{5, 0, Dropped, []string{"bcda"}},
		{6, 1, TornBlocks, []string{"bcda", "ecda"}},
	} {
		got := outcomes(t, c.moment, c.loss, c.unflushed)
		for _, want := range c.want {
			if !got[want] {
				t.Errorf("at %d, %v: %s never comes", c.moment, c.loss, want)
			}
			delete(got, want)
		}
		for image := range got {
			t.Errorf("at %d, %v: %s comes", c.moment, c.loss, image)
		}
	}
	if !outcomes(t, 6, TornSectors, 1)["?cda"] {
		t.Error("no block is torn within")
	}
}

// TestCrashOn: one Player goes through a log to its end.
func TestCrashOn(t *testing.T) {
	player := NewPlayer(pastLog())
	image := make([]byte, player.Size())
	for moment, want := range []string{"aaaa", "aaaa", "baaa", "baaa", "baaa", "bcda", "bcda"} {
		player.Crash(image, moment, Dropped, nil)
		if got := letters(image); got != want {
			t.Errorf("at %d the device holds %s, not %s", moment, got, want)
		}
	}
}
