package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
	"github.com/poplin-mail/poplin/maildrop/bucket/s3"
)

// TestPatience: a server that starts waits for a store that is down, and for
// nothing else. Each try is logged.
func TestPatience(t *testing.T) {
	down := unusable([]bucket.Finding{{What: "the store answers", Err: context.DeadlineExceeded}})
	for name, c := range map[string]struct {
		err  error         // of each try, while it is away
		took time.Duration // each try
		away time.Duration
		well bool
		logs int
	}{
		"up":               {nil, 0, 0, true, 0},
		"back in time":     {down, 5 * time.Second, 30 * time.Second, true, 4},
		"back late":        {down, 5 * time.Second, time.Hour, false, 6},
		"slow to fail":     {down, 2 * time.Minute, time.Hour, false, 0},
		"a wrong property": {unusable([]bucket.Finding{{What: "x", Err: errors.New("it lists late")}}), 0, time.Hour, false, 0},
		"requests failed":  {unusable([]bucket.Finding{{What: "x", Err: errors.New("it lists late"), Unsure: true}}), 0, time.Second, true, 1},
		"no bucket":        {unusable([]bucket.Finding{{What: "x", Err: bucket.ErrNoBucket}}), 0, time.Hour, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				began := time.Now()
				err := patiently(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) error {
					time.Sleep(c.took)
					if time.Since(began) > c.away {
						return nil
					}
					return c.err
				})
				if (err == nil) != c.well || !c.well && !errors.Is(err, c.err) {
					t.Errorf("error %v", err)
				}
				if n := strings.Count(log.String(), "trying again"); n != c.logs {
					t.Errorf("%d tries are logged, want %d: %s", n, c.logs, &log)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		if err := patiently(ctx, slog.New(slog.DiscardHandler), func(context.Context) error { return down }); !errors.Is(err, context.Canceled) {
			t.Errorf("told to end, it says %v", err)
		}
	})
}

// TestStoreComesBack: over HTTP, as of a gateway that is just starting.
func TestStoreComesBack(t *testing.T) {
	cfg, objects := inBucket(t, "mail-00", "mail-01")
	var asked atomic.Int32
	objects.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
		if asked.Add(1) > 5 {
			return false
		}
		buckettest.Failure(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	})
	var log strings.Builder
	err := CheckStore(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || !strings.Contains(log.String(), "trying again") || !strings.Contains(log.String(), "the store answers") {
		t.Errorf("%v, log %q", err, &log)
	}
}

// TestFirstFinding says in words what is wrong, and what to do.
func TestFirstFinding(t *testing.T) {
	cfg, objects := inBucket(t)
	for status, want := range map[int]string{
		http.StatusForbidden:          "access_key and secret_key, or what stands in their place, must be",
		http.StatusServiceUnavailable: "see whether endpoints has the address of the store, and whether it runs",
	} {
		objects.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
			buckettest.Failure(w, status, "Oops")
			return true
		})
		found, err := CheckBucket(t.Context(), cfg)
		if err != nil || len(found) != 1 || !strings.HasPrefix(found[0].What, "the store answers") || !strings.Contains(found[0].Err.Error(), want) {
			t.Errorf("%d: %+v, %v", status, found, err)
		}
		if _, err := MakeBuckets(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: MakeBuckets says %v", status, err)
		}
	}
	objects.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
		buckettest.Failure(w, http.StatusForbidden, "RequestTimeTooSkewed")
		return true
	})
	if found, _ := CheckBucket(t.Context(), cfg); len(found) != 1 || !strings.Contains(found[0].Err.Error(), "the clock of this machine") {
		t.Errorf("with a clock that is wrong: %+v", found)
	}
	objects.Answer(nil)
	found, err := CheckBucket(t.Context(), cfg)
	if err != nil || len(found) != 3 || found[0].Err != nil || found[1].Err != nil || !strings.Contains(found[2].Err.Error(), "bucket mail-00: ") || !strings.HasSuffix(found[2].Err.Error(), "`poplin bucket init` makes them") {
		t.Errorf("without buckets: %+v, %v", found, err)
	}
}

// TestSilence is said in words, and passes.
func TestSilence(t *testing.T) {
	cfg, objects := inBucket(t, "mail-00", "mail-01")
	objects.Answer(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	c, err := newStoreCheck(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := reach(t.Context(), &c.opts, c.engines[0], 10*time.Millisecond); !s3.Down(err) || !strings.HasPrefix(err.Error(), "there is no reply within 10ms: s3: ") {
		t.Errorf("of a store that is silent it says %v", err)
	}
}

// TestSecondDown: an endpoint that mail does not go through, and that cannot
// answer, keeps no server from starting.
func TestSecondDown(t *testing.T) {
	cfg, _ := inBucket(t, "mail-00", "mail-01")
	for name, answer := range map[string]http.HandlerFunc{
		"503":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"closed": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		down := httptest.NewServer(answer)
		cfg.Maildrops.Bucket.Endpoints[1] = down.URL
		if err := TryStore(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		down.Close()
	}
}
