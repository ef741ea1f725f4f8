package view

import (
	"context"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/maildir"
	"github.com/poplin-mail/poplin/maildrop/maildroptest"
	"github.com/poplin-mail/poplin/maildrop/memory"
)

// viewed is a Store whose maildrops all have one view.
type viewed struct {
	maildrop.Store
	view maildrop.View
}

func (v viewed) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	return Open(ctx, v.Store, name, v.view)
}

// TestContract: a maildrop under a view is a maildrop. What DELE hides is
// removed for whoever sees the maildrop so.
func TestContract(t *testing.T) {
	const long = 1000 * time.Hour
	for name, v := range map[string]maildrop.View{
		"device": {Device: "phone"},
		"keep":   {Device: "phone", Keep: true},
		"recent": {Recent: long},
		"undo":   {Undo: long},
		"all":    {Device: "phone", Keep: true, Recent: long, Undo: long},
	} {
		t.Run(name+"/memory", func(t *testing.T) {
			maildroptest.Run(t, func(testing.TB) maildroptest.Harness {
				s := memory.New()
				return maildroptest.Harness{
					Store:     viewed{s, v},
					Deliverer: struct{ maildrop.Deliverer }{s}, // what is hidden counts for quotas
					Create:    func(name string) error { s.Create(name); return nil },
				}
			})
		})
		t.Run(name+"/maildir", func(t *testing.T) {
			maildroptest.Run(t, func(t testing.TB) maildroptest.Harness {
				s, err := maildir.New(maildir.Options{Path: t.TempDir() + "/{user}"})
				if err != nil {
					t.Fatal(err)
				}
				return maildroptest.Harness{
					Store:     viewed{s, v},
					Deliverer: struct{ maildrop.Deliverer }{s}, // what is hidden counts for quotas
					Create:    func(name string) error { return s.Create(t.Context(), name) },
				}
			})
		})
	}
}
