package maildir

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/poplin-mail/poplin/maildrop/maildroptest"
)

func TestContract(t *testing.T) { maildroptest.Run(t, newHarness) }

func newHarness(t testing.TB) maildroptest.Harness {
	root := t.TempDir()
	s, err := New(Options{Path: root + "/{user}"})
	if err != nil {
		t.Fatal(err)
	}
	return maildroptest.Harness{
		Store:     s,
		Deliverer: s,
		Views:     true,
		Create:    func(name string) error { return s.Create(t.Context(), name) },
		Discard: func(name, uid string) error {
			for _, dir := range []string{"new", "cur"} {
				if os.Remove(filepath.Join(root, name, dir, uid)) == nil {
					return nil
				}
			}
			return fs.ErrNotExist
		},
	}
}
