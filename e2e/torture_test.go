package e2e

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

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

var (
	nodesTime = flag.Duration("nodes-time", 15*time.Second, "how long TestTortureNodes has load")
	nodesSeed = flag.Uint64("nodes-seed", 0, "the seed of TestTortureNodes; 0: one by chance")
)

// TestTortureNodes is a short run of `go run ./bench/torture -bucket`: two
// servers over an object store are killed and stopped, and so are the gateways
// of the store, and no mail is harmed.
func TestTortureNodes(t *testing.T) {
	program, err := versitygw()
	if err != nil {
		t.Fatal(err)
	}
	seed := *nodesSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	r, err := rounds.RunNodes(t.Context(), rounds.NodeOptions{Poplin: poplin, Versitygw: program, Dir: folder(t), Time: *nodesTime, Seed: seed})
	if r != nil {
		t.Logf("seed %d:\n%s", seed, r.Summary())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verdict(); err != nil {
		t.Error(err)
	}
}
