package fetch

import (
	"errors"
	"io"
	"math"
	"testing"
)

// TestMost: how much is taken of a message, by what was announced.
func TestMost(t *testing.T) {
	for _, w := range []struct {
		limit, size int64
		part        bool
		want        int64
	}{
		{0, -1, false, math.MaxInt64}, // nothing is known: the disk's end is the end
		{0, 0, false, 1 << 30},
		{0, 1000, false, 4000 + 1<<30},
		{0, math.MaxInt64, false, math.MaxInt64/8*4 + 1<<30},
		{8000, 10, false, 9000 + 64<<10},
		{8000, -1, false, 9000 + 64<<10},
		{math.MaxInt64, 10, false, math.MaxInt64/2/8*9 + 64<<10},
		{8000, 9000, true, 16 << 20},
	} {
		r := &run{Account: &Account{MaxMessage: w.limit}}
		if got := r.most(order{item: item{size: w.size}}, w.part); got != w.want || got < 0 {
			t.Errorf("limit %d, announced %d: %d, want %d", w.limit, w.size, got, w.want)
		}
	}
	c := &capped{io.Discard, 10}
	if _, err := c.Write(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if _, err := c.Write(make([]byte, 1)); !errors.Is(err, errOversize) {
		t.Errorf("one octet too many: %v", err)
	}
}
