package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
)

// newMoves makes Moves from buckets into Maildirs of that path below a folder,
// and delivers a message to each name.
func newMoves(t *testing.T, path string, names ...string) (root string, begin func(opts move.Options) *Move) {
	t.Helper()
	cfg, _ := inBucket(t, "mail-00", "mail-01")
	root = t.TempDir()
	cfg.Maildrops.Path = root + "/" + path
	store, err := newStore(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := store.(maildrop.Deliverer).Deliver(t.Context(), name, strings.NewReader("Subject: for "+name+"\n\n")); err != nil {
			t.Fatal(err)
		}
	}
	return root, func(opts move.Options) *Move {
		t.Helper()
		m, err := NewMove(t.Context(), cfg, config.Bucket, config.Maildir, opts, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
}

// TestMoveApart: no Maildir gets the mail of two maildrops.
func TestMoveApart(t *testing.T) {
	for path, apart := range map[string]bool{"{local}": false, "{domain}/x": false, "{user}": true, "{domain}/{local}": true, "{local}/{user}/x": true} {
		t.Run(strings.NewReplacer("{", "", "}", "", "/", "-").Replace(path), func(t *testing.T) {
			names := []string{"anna@a.example", "anna@b.example"}
			if path == "{domain}/x" {
				names = []string{"anna@a.example", "bert@a.example"}
			}
			_, begin := newMoves(t, path, names...)
			m := begin(move.Options{Empty: true})
			if all, err := m.Names(t.Context()); apart != (err == nil) || apart && len(all) != 2 {
				t.Errorf("all are %q, error %v", all, err)
			}
			for i, name := range append(names, names[0]) {
				r, err := m.Run(t.Context(), name, nil)
				switch {
				case i == 2:
					if errors.Is(err, errShared) {
						t.Errorf("%s a second time: %v", name, err)
					}
				case i == 0 || apart:
					if err != nil || r.Removed != 1 {
						t.Errorf("%s: %+v, %v", name, r, err)
					}
				case !errors.Is(err, errShared) || !strings.Contains(err.Error(), names[0]) || r.Removed != 0:
					t.Errorf("%s: %+v, %v", name, r, err)
				}
			}
			// What this run knew, the next one finds in the Maildir.
			again := begin(move.Options{Empty: true})
			if r, err := again.Run(t.Context(), names[1], nil); !apart && (!errors.Is(err, move.ErrOthers) || !strings.Contains(err.Error(), names[0]) || r.Copied != 0) {
				t.Errorf("%s in another run: %+v, %v", names[1], r, err)
			}
		})
	}
}

// TestMoveMistyped: a name that nobody has makes no Maildir.
func TestMoveMistyped(t *testing.T) {
	root, begin := newMoves(t, "{user}", "gone")
	m := begin(move.Options{})
	if _, err := m.Run(t.Context(), "gome", nil); !errors.Is(err, ErrNoMaildrop) {
		t.Errorf("a name that nobody has: %v", err)
	}
	if r, err := m.Run(t.Context(), "gone", nil); err != nil || r.Copied != 1 {
		t.Errorf("mail that no user has any more: %+v, %v", r, err)
	}
	if r, err := m.Run(t.Context(), "anna", nil); err != nil || r.Messages != 0 {
		t.Errorf("a user without mail: %+v, %v", r, err)
	}
	for name, there := range map[string]bool{"gome": false, "gone": true, "anna": true} {
		if _, err := os.Stat(filepath.Join(root, name)); there != (err == nil) {
			t.Errorf("the Maildir of %s: %v", name, err)
		}
	}
}
