package collect

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
)

// TestCancelled: a run is broken off at each line that the server hears. It ends
// at once, says so, and the next one brings the rest.
func TestCancelled(t *testing.T) {
	for at := 1; ; at++ {
		ctx, cancel := context.WithCancel(t.Context())
		heard := 0
		e := newEvil(t, config.TLS, 3, func(s *session, line string) bool {
			if heard++; heard == at {
				cancel()
				return s.end("silence")
			}
			return false
		})
		r := newReader(e, patience, "")
		c := r.collector(Options{})
		result := c.Once(ctx, fetch.Options{}, func(*Job, Result) {})[0]
		c.Close()
		cancel()
		whole := result.Err == nil
		if !whole && (!result.Temporary || !strings.Contains(result.Error, "broken off")) {
			t.Errorf("at line %d: error %v, temporary %t", at, result.Err, result.Temporary)
		}
		if gone := len(e.mail) - e.left(); gone > len(r.holds()) {
			t.Errorf("at line %d: %d messages are deleted, and %v here", at, gone, r.holds())
		}
		e.mends()
		if result := r.run(fetch.Options{}); result.Err != nil || !slices.Equal(r.holds(), all(e)) || e.left() != 0 {
			t.Errorf("behind line %d: error %v, %v are here, %d left", at, result.Err, r.holds(), e.left())
		}
		if whole {
			t.Logf("broken off at each of %d lines", at-1)
			return
		}
	}
}

// TestOpenConfiguration: a configuration that others can read is refused where
// a password stands in it.
func TestOpenConfiguration(t *testing.T) {
	r := newReader(newEvil(t, config.TLS, 1, nil), patience, "")
	path := filepath.Join(r.dir, "poplin.toml")
	for _, mode := range []os.FileMode{0o604, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), "chmod") || strings.Contains(err.Error(), password) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if result := r.run(fetch.Options{}); result.Err != nil {
		t.Error(result.Err)
	}
}
