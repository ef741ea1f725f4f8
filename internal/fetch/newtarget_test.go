package fetch

import (
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// renamed is a target under another name.
type renamed struct {
	target.Target
	name string
}

func (n renamed) Name() string { return n.name }

// TestNewTargets: a target that has another name than it had does not get all
// mail again unless somebody wants it, and one that is added does.
func TestNewTargets(t *testing.T) {
	b := newBed(t, "all")
	maildir := b.Targets[0]
	b.Targets[0] = renamed{maildir, "a"}
	if r := b.must(); len(r.Warnings) != 0 {
		t.Errorf("an account is new, and the report is %+v", r)
	}
	mail := b.deliver(0, 3)
	b.must()
	b.Targets[0] = renamed{maildir, "A"}
	r, err := b.run(Options{})
	if err == nil || Temporary(err) || r.Retrieved != 0 || !strings.Contains(err.Error(), "A is new") || !strings.Contains(err.Error(), "3 messages") || !strings.Contains(err.Error(), "--new-target") {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	b.Targets[0] = renamed{maildir, "a"}
	b.must()
	b.addTarget("archive")
	if r := b.must(); r.Retrieved != 3 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "3 messages") {
		t.Errorf("the report is %+v", r)
	}
	if r := b.must(); len(r.Warnings) != 0 {
		t.Errorf("the report is %+v", r)
	}
	b.holds("mail", mail)
	b.holds("archive", mail)
	b.Targets = b.Targets[:0]
	b.addTarget("third")
	if r, err := b.run(Options{NewTargets: true}); err != nil || r.Retrieved != 3 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	b.must()
	b.holds("third", mail)
	// Nothing would come again: nothing to ask.
	b.Keep = policy(t, "none")
	b.must()
	b.Targets = b.Targets[:0]
	b.addTarget("fourth")
	b.must()
}
