package fetch

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// TestDropped: a target that is taken out of the account while a delivery to it
// is open does not keep its message on the server, or what it had staged.
func TestDropped(t *testing.T) {
	b := newBed(t, "none")
	staged := filepath.Join(b.dir, "staged")
	mbox := func(name string) target.Target {
		m, err := target.OpenMbox(disk.OS{}, target.MboxOptions{Path: filepath.Join(b.dir, name), Staging: staged})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	b.Targets = append(b.Targets, &brokenTarget{mbox("old"), func(*target.Message) error { return errors.New("the disk is on fire") }})
	mail := b.deliver(0, 1)
	if r, err := b.run(Options{}); err == nil || r.Deleted != 0 || len(b.names("staged")) != 1 {
		t.Fatalf("the report is %+v, error %v", r, err)
	}
	for _, name := range b.names("staged") {
		long := time.Now().Add(-100 * time.Hour)
		if err := os.Chtimes(filepath.Join(staged, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	b.Targets = b.Targets[:1]
	if r, err := b.run(Options{DryRun: true}); err != nil || !r.Plan[0].Delete {
		t.Errorf("the plan is %+v, error %v", r.Plan, err)
	}
	b.Targets = append(b.Targets, mbox("new"))
	if r := b.must(); r.Deleted != 1 {
		t.Errorf("the report is %+v", r)
	}
	if names := b.names("staged"); len(names) != 0 {
		t.Errorf("%v is staged still", names)
	}
	b.holds("mail", mail)
}
