package e2e

import (
	"testing"

	"github.com/poplin-mail/poplin/bench/siege/cases"
)

// TestLoad runs the cases of `make siege` with smaller numbers. What they
// measure in time is only shown: it depends on the machine.
func TestLoad(t *testing.T) {
	for _, c := range cases.All() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			r, err := c.Run(t.Context(), cases.Options{Poplin: poplin, Dir: t.TempDir(), Short: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range r.Faults {
				t.Errorf("%s: %s", c.Claim, fault)
			}
			for _, line := range append(r.Slow, r.Notes...) {
				t.Log(line)
			}
		})
	}
}
