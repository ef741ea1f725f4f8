package move_test

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/bucket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMove: UIDs, order, octets and dates are the same, and the source is
// empty; and so they are when all goes back.
func TestMove(t *testing.T) {
	directions(t, func(t *testing.T, from, to place) {
		letters := written(t)
		put(t, from, letters)
		letters = append(letters, deliver(t, from, "Subject: native\n\nx"))
		want(t, "the source", from, letters)
		result := run(t, from, to, move.Options{Empty: true})
		n := len(letters)
		if result.Messages != n || result.Copied != n || result.Compared != n || result.Removed != n || result.Left != 0 {
			t.Errorf("the result is %+v", result)
		}
		want(t, "the destination", to, letters)
		want(t, "the source", from, nil)
		letters = append(letters, deliver(t, to, "Subject: new\n\nx\n"))
		want(t, "the destination, with new mail", to, letters)

		run(t, to, from, move.Options{Empty: true})
		want(t, "the source, after the way back", from, letters)
		want(t, "the destination, after the way back", to, nil)
		if result := run(t, to, from, move.Options{Empty: true}); result.Copied+result.Removed != 0 {
			t.Errorf("a run with nothing to do: %+v", result)
		}
	})
}

// TestEveryCall: the process dies before any call of a store, and so behind the
// one before; every message is in one of the places, no login finds one twice,
// and the next run ends it.
func TestEveryCall(t *testing.T) {
	ways := directionsOf()
	delete(ways, "maildir to packed and sealed")
	delete(ways, "bucket to maildir")
	ways["bucket to bucket"] = func(t *testing.T) (place, place) {
		return newBucket(t, bucket.Options{}, nil), newBucket(t, bucket.Options{}, nil)
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := way(t)
			sites := 0
			for k := 1; dies(t, from, to, &fate{at: k}); k++ {
				if sites = k; t.Failed() {
					t.Fatalf("at call %d", k)
				}
			}
			if sites < 40 {
				t.Errorf("only %d calls were the last", sites)
			}
			t.Logf("sites: %d", sites)
		})
	}
}

// dies moves in a process of that fate, and again in another one. It tells
// whether the first died.
func dies(t *testing.T, from, to place, f *fate) bool {
	t.Helper()
	letters := short(t)[2:5]
	put(t, from, letters)
	opts := move.Options{Empty: true, Live: f.at%2 == 0, AtOnce: 1 + f.at%4}
	_, err := move.New(&mortal{from, f}, &mortal{to, f}, opts).Run(t.Context(), user, nil)
	f.buried()
	if f.dead == (err == nil) {
		t.Fatalf("dead: %v, error %v", f.dead, err)
	}
	somewhere(t, from, to, letters)
	run(t, from, to, opts)
	want(t, "the destination", to, letters)
	want(t, "the source", from, nil)
	empty(t, to)
	return f.dead
}

// somewhere checks that every message is in one of the places at least.
func somewhere(t *testing.T, from, to place, letters []letter) {
	t.Helper()
	there := slices.Concat(listed(t, from), listed(t, to))
	for _, l := range letters {
		if !slices.ContainsFunc(there, func(o letter) bool { return o.UID == l.UID && o.text == l.text }) {
			t.Errorf("message %q is nowhere", l.UID)
		}
	}
}

// empty empties a maildrop.
func empty(t *testing.T, s place) {
	t.Helper()
	m, err := s.Open(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	all := make([]int, len(m.Messages()))
	for i := range all {
		all[i] = i
	}
	if err := m.Remove(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

var _ maildrop.Importer = (*mortalDrop)(nil)
