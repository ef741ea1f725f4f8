package fetch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/poplin-mail/poplin/internal/fetch/journal"
)

// newTargets looks for targets that have never had a message, while the server
// has some that others got: those come again. Where none of the others is left
// somebody has perhaps written one in another way, and the run must stop.
func (r *run) newTargets(items []item) error {
	known := r.journal.Targets()
	fresh := slices.DeleteFunc(slices.Clone(r.names), func(name string) bool { return slices.Contains(known, name) })
	if len(known) == 0 || len(fresh) == 0 {
		return nil
	}
	again := 0
	for _, it := range items {
		r.journal.Look(it.Key, func(e *journal.Entry) {
			if e != nil && !e.At.IsZero() {
				again++
			}
		})
	}
	if again == 0 {
		return nil
	}
	names := strings.Join(fresh, " and ")
	if len(fresh) == len(r.names) && !r.opts.NewTargets {
		return lasting("%s is new, and none of the places is left that the account had before: %d messages that are on the server still, and were delivered there, would come again. "+
			"Nothing was fetched. Write the place as it was, or run once with --new-target to have them all", names, again)
	}
	r.warn(fmt.Sprintf("%s is new: %d messages that are on the server still, and were delivered elsewhere, come there too", names, again))
	return nil
}
