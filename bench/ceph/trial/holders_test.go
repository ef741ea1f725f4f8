package trial

import (
	"slices"
	"testing"
	"time"
)

// TestHolders: two sessions in one maildrop are found where nothing excuses
// it. Times are seconds; a lease has ten.
func TestHolders(t *testing.T) {
	zero := time.Now()
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	for _, c := range []struct {
		name          string
		run           func(h *holders)
		double, vague int
	}{
		{"one after the other", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			h.end(a, at(2))
			b := h.login(0, "n2", at(2.1), at(3))
			h.alive(a, at(4))
			h.alive(b, at(4))
		}, 0, 0},
		{"at the same time, and both go on", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			h.login(0, "n2", at(2), at(3))
			if !h.suspected(a) {
				t.Error("no suspicion")
			}
			h.alive(a, at(4))
			h.alive(a, at(5))
		}, 1, 0},
		{"the first may have ended before", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			h.login(0, "n2", at(2), at(3))
			h.alive(a, at(2.5))
			h.cut(a, at(3.1))
		}, 0, 1},
		{"the first one's node was killed: its lock stays", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			h.kill("n1", at(1.5))
			h.cut(a, at(1.6))
			h.end(a, at(1.7))
			h.login(0, "n2", at(2), at(3))
			h.alive(a, at(4)) // for what came of the suspicion: a dead session has no reply
		}, 1, 0},
		{"the same, and it is found out later", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			h.kill("n1", at(1.5))
			h.login(0, "n2", at(2), at(3))
			h.cut(a, at(3.5))
		}, 1, 0},
		{"the lease is over", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			h.login(0, "n2", at(8), at(10.1))
			h.alive(a, at(11))
		}, 0, 0},
		{"other maildrops", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			h.login(1, "n2", at(2), at(3))
			h.alive(a, at(4))
		}, 0, 0},
		{"both logins at once: one may have been over before the other", func(h *holders) {
			a := h.login(0, "n1", at(0), at(2))
			h.login(0, "n2", at(1), at(3))
			h.alive(a, at(4))
		}, 0, 0},
		{"a late one removes while somebody else is there", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			b := h.login(0, "n2", at(12), at(13))
			h.end(a, at(14))
			h.removed(a, at(14), at(15))
			h.alive(b, at(16))
		}, 1, 0},
		{"a late one removes when the other has gone", func(h *holders) {
			a := h.login(0, "n1", at(0), at(1))
			b := h.login(0, "n2", at(12), at(13))
			h.end(b, at(13.5))
			h.removed(a, at(14), at(15))
			h.alive(b, at(16))
		}, 0, 0},
	} {
		h := newHolders(10*time.Second, []string{"ada", "bob"})
		c.run(h)
		if double, vague := h.found(); len(double) != c.double || vague != c.vague {
			t.Errorf("%s: %d double holders, %d perhaps, want %d and %d: %q", c.name, len(double), vague, c.double, c.vague, slices.Sorted(slices.Values(double)))
		}
	}
}

// TestLockedOut: it counts from the first refusal, unless a session that goes
// on is the reason.
func TestLockedOut(t *testing.T) {
	zero := time.Now()
	at := func(s int) time.Time { return zero.Add(time.Duration(s) * time.Second) }
	h := newHolders(10*time.Second, []string{"ada"})
	a := h.login(0, "n1", at(0), at(1))
	h.refused(0, at(2))
	h.kill("n1", at(3))
	h.cut(a, at(3))
	h.refused(0, at(4))
	h.refused(0, at(5))
	b := h.login(0, "n2", at(12), at(13))
	h.end(b, at(14))
	c := h.login(0, "n2", at(15), at(16))
	if a.out != 0 || b.out != 9*time.Second || c.out != 0 {
		t.Errorf("locked out for %v, %v, %v; want 0, 9 s, 0", a.out, b.out, c.out)
	}
}
