package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/maildir"
)

// TestExpireAll: old mail of users goes, that in a maildrop of nobody's name
// stays: a source of users may have said that it does.
func TestExpireAll(t *testing.T) {
	cfg := newConfig(t)
	cfg.Retention.Expire = 24 * time.Hour
	d, l := start(t, cfg)
	files := d.store.(*maildir.Store)
	if err := files.Create(t.Context(), "box1"); err != nil {
		t.Fatal(err)
	}
	old := func(name string) string {
		return filepath.Join(filepath.Dir(cfg.Maildrops.Path), name, "new", "1000000000.M1P1.h")
	}
	for _, name := range []string{"anna", "box1"} {
		if err := os.WriteFile(old(name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Unix(1000000000, 0)
		if err := os.Chtimes(old(name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	(&Expiry{cfg, d.users, files, d.log}).all(t.Context())
	if _, err := os.Stat(old("anna")); !os.IsNotExist(err) {
		t.Errorf("old mail of a user: %v", err)
	}
	if _, err := os.Stat(old("box1")); err != nil {
		t.Errorf("old mail in a maildrop of unknown name: %v", err)
	}
	if !strings.Contains(l.String(), "messages stay, however old") || !strings.Contains(l.String(), "maildrops=1") {
		t.Errorf("the log is %s", l)
	}
}

// sweeper is a store whose maildrops are looked through when it is its turn.
type sweeper struct {
	maildrop.Store
	mine          bool
	turns, sweeps int
}

func (s *sweeper) Turn(_ context.Context, what string, every time.Duration) (bool, error) {
	if s.turns++; what != "expire" || every != sweepEvery {
		return false, fmt.Errorf("turn of %s every %v", what, every)
	}
	if s.turns == 2 {
		return false, errors.New("the store is down")
	}
	return s.mine, nil
}

func (s *sweeper) Names(context.Context) ([]string, error) {
	s.sweeps++
	return nil, nil
}

func (s *sweeper) Expire(context.Context, string, time.Time, bool) (maildrop.Usage, error) {
	return maildrop.Usage{}, nil
}

// TestExpireInTurn: a server that shares its store looks for old mail when it
// is its turn, and asks again in an hour.
func TestExpireInTurn(t *testing.T) {
	for _, mine := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &sweeper{mine: mine}
			l := new(log)
			d := &Daemon{cfg: config.Default(), store: s, log: slog.New(slog.NewTextHandler(l, nil))}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
			defer cancel()
			d.expireDaily(ctx)
			sweeps := 0
			if mine {
				sweeps = 9 // all but the one that failed
			}
			if s.turns != 10 || s.sweeps != sweeps {
				t.Errorf("asked %d times, looked %d times; want 10 and %d", s.turns, s.sweeps, sweeps)
			}
			if strings.Count(l.String(), "the store is down") != 1 {
				t.Errorf("logged is %s", l)
			}
		})
	}
}
