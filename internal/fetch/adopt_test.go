package fetch

import (
	"context"
	"testing"

	"github.com/poplin-mail/poplin/pop3client"
)

// TestAdopt: what another program has fetched does not come again, and what it
// has not does.
func TestAdopt(t *testing.T) {
	b := newBed(t, "all")
	b.deliver(0, 3)
	var first string
	adopt := func() (adopted, listed int) {
		t.Helper()
		adopted, listed, err := b.Adopt(t.Context(), func(_ context.Context, _ *pop3client.Client, unknown []string) ([]Adopted, error) {
			var all []Adopted
			if len(unknown) > 0 {
				first = unknown[0]
				all = []Adopted{{UID: first}, {UID: first}, {UID: "elsewhere"}}
			}
			return all, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return adopted, listed
	}
	if adopted, listed := adopt(); adopted != 1 || listed != 3 {
		t.Errorf("%d of %d were adopted", adopted, listed)
	}
	if r := b.must(); r.Retrieved != 2 {
		t.Errorf("the report is %+v", r)
	}
	b.holds("mail", []string{letter(1), letter(2)})
	if adopted, _ := adopt(); adopted != 0 {
		t.Errorf("%d were adopted again", adopted)
	}
}
