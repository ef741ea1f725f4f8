package e2e

import (
	"math/rand/v2"
	"testing"

	"github.com/poplin-mail/poplin/bench/torture/rounds"
)

// TestTorture is a short run of `make torture`: the server is killed again and
// again under deliveries and sessions, and no mail is harmed.
func TestTorture(t *testing.T) {
	seed := rand.Uint64()
	r, err := rounds.Run(t.Context(), rounds.Options{Poplin: poplin, Dir: t.TempDir(), Kills: 60, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d:\n%s", seed, r.Summary())
	if err := r.Verdict(); err != nil {
		t.Error(err)
	}
}
