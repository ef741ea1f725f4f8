package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poplin-mail/poplin/internal/console"
	"github.com/poplin-mail/poplin/maildrop/bucket"
	"github.com/poplin-mail/poplin/maildrop/bucket/buckettest"
	"github.com/poplin-mail/poplin/pop3client"
)

// patient is an object store as a pulse sees it.
type patient struct {
	*pulse
	outcome atomic.Value // of the next requests; "hang": there is no reply
	takes   atomic.Int64 // time.Duration
	asked   atomic.Int32
	log     log
}

// withPulse runs a test in a bubble.
func withPulse(t *testing.T, f func(t *testing.T, p *patient)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &patient{}
		p.pulse = newPulse(slog.New(slog.NewTextHandler(&p.log, nil)))
		p.outcome.Store(bucket.OutcomeNotFound)
		watch := watched{console.NewMetrics().Bucket(), p.pulse}
		p.ask = func(ctx context.Context) error {
			p.asked.Add(1)
			outcome := p.outcome.Load().(string)
			takes := time.Duration(p.takes.Load())
			time.Sleep(takes)
			if outcome == "hang" {
				<-ctx.Done()
				outcome = bucket.OutcomeTimeout
			}
			watch.Called("get", outcome, takes)
			if outcome == bucket.OutcomeNotFound {
				return nil
			}
			return errors.New("at 192.0.2.1: " + outcome)
		}
		defer p.close()
		f(t, p)
	})
}

// want checks health and the number of requests that the pulse made itself.
func (p *patient) want(t *testing.T, when, words string, asked int32) {
	t.Helper()
	err := p.check(t.Context())
	if (err == nil) != (words == "") || err != nil && !strings.HasSuffix(err.Error(), words) {
		t.Errorf("%s: %v, want %q", when, err, words)
	}
	if n := p.asked.Swap(0); n != asked {
		t.Errorf("%s: %d requests, want %d", when, n, asked)
	}
}

// TestPulseIsCheap: a store that sessions use is not asked, an idle one every
// few seconds, however many ask.
func TestPulseIsCheap(t *testing.T) {
	withPulse(t, func(t *testing.T, p *patient) {
		p.want(t, "at first", "", 0)
		for range 60 {
			time.Sleep(time.Second)
			p.heard(bucket.OutcomeNotModified, 0)
			p.want(t, "under load", "", 0)
		}
		time.Sleep(pulseFresh)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := p.check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		p.want(t, "100 at the same time, idle", "", 1)
		begun := time.Now()
		for time.Since(begun) < time.Minute {
			p.check(t.Context())
			time.Sleep(100 * time.Millisecond)
		}
		p.want(t, "within a minute, idle", "", 12)
		p.outcome.Store(bucket.OutcomeError)
		begun = time.Now()
		for time.Since(begun) < time.Minute {
			p.check(t.Context())
			time.Sleep(100 * time.Millisecond)
		}
		p.want(t, "within a minute, down", "no good answer for 55s: requests fail", 12)
	})
}

// TestPulseFails: a store that gives no good answer for a while is down, and
// up again with the first.
func TestPulseFails(t *testing.T) {
	for outcome, words := range map[string]string{
		bucket.OutcomeError:   "the object store has given no good answer for 15s: requests fail",
		bucket.OutcomeDenied:  "the object store has given no good answer for 15s: it denies access",
		bucket.OutcomeTimeout: "the object store has given no good answer for 15s: replies do not come in time",
	} {
		withPulse(t, func(t *testing.T, p *patient) {
			p.outcome.Store(outcome)
			p.want(t, "at first", "", 0)
			time.Sleep(pulseFresh)
			p.want(t, outcome+" once", "", 1)
			p.heard(bucket.OutcomeCancelled, 0)
			p.heard(outcome, 0) // of a session
			time.Sleep(pulseFresh)
			p.want(t, outcome+" twice", "", 1)
			if text := p.log.String(); text != "" {
				t.Errorf("logged is %s", text)
			}
			time.Sleep(2 * pulseFresh)
			p.want(t, outcome+" for long", words, 1)
			p.heard(bucket.OutcomeCancelled, 0)
			p.want(t, outcome+" for long, again", words, 0)
			if text := p.log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "192.0.2.1: "+outcome) {
				t.Errorf("logged is %s", text)
			}
			p.heard(bucket.OutcomeOK, 0)
			p.want(t, "when a session had an answer", "", 0)
			if text := p.log.String(); !strings.Contains(text, "answers again") {
				t.Errorf("logged is %s", text)
			}
		})
	}
}

// TestPulseOfNobodysStore: a server that is asked less often than a store may
// be silent is well as long as requests have an answer, at once or not, and
// as one of them had none.
func TestPulseOfNobodysStore(t *testing.T) {
	const every = 20 * time.Second
	withPulse(t, func(t *testing.T, p *patient) {
		p.takes.Store(int64(1200 * time.Millisecond)) // longer than a check waits
		for range 10 {
			time.Sleep(every)
			p.want(t, "a slow answer", "", 1)
		}
		p.takes.Store(0)
		time.Sleep(every)
		p.outcome.Store(bucket.OutcomeError)
		p.want(t, "a bad answer", "", 1)
		time.Sleep(every)
		p.outcome.Store(bucket.OutcomeOK)
		p.want(t, "a good one behind it", "", 1)
		time.Sleep(every)
		p.outcome.Store(bucket.OutcomeError)
		p.want(t, "bad answers", "", 1)
		time.Sleep(every)
		p.want(t, "bad answers for long", "no good answer for 20s: requests fail", 1)
	})
}

// TestPulseCountsFromRequest: silence begins with a request and not with its
// end, also where a session made it, and not before the last good answer.
func TestPulseCountsFromRequest(t *testing.T) {
	withPulse(t, func(t *testing.T, p *patient) {
		p.outcome.Store(bucket.OutcomeError)
		time.Sleep(time.Hour)
		p.heard(bucket.OutcomeTimeout, pulseTimeout)
		time.Sleep(pulseFresh)
		p.want(t, "of a session", "no good answer for 15s: requests fail", 1)
		p.heard(bucket.OutcomeOK, 0)
		time.Sleep(time.Second)
		p.heard(bucket.OutcomeTimeout, pulseTimeout)
		time.Sleep(pulsePatience - time.Second - 1)
		p.want(t, "of a session that began before a good answer", "", 1)
	})
}

// TestPulseDoesNotWait: where the last answer is new, whatever else is under way.
func TestPulseDoesNotWait(t *testing.T) {
	withPulse(t, func(t *testing.T, p *patient) {
		p.outcome.Store("hang")
		time.Sleep(pulseFresh)
		p.check(t.Context())
		p.heard(bucket.OutcomeOK, 0)
		begun := time.Now()
		p.want(t, "with a new answer", "", 1)
		if took := time.Since(begun); took > 0 {
			t.Errorf("a check takes %v", took)
		}
	})
}

// TestPulseHangs: who asks has an answer within a second, and no two requests
// wait at the same time.
func TestPulseHangs(t *testing.T) {
	withPulse(t, func(t *testing.T, p *patient) {
		p.outcome.Store("hang")
		time.Sleep(pulseFresh)
		for range 19 { // seconds, from the fifth on
			begun := time.Now()
			p.check(t.Context())
			if took := time.Since(begun); took > pulseWait {
				t.Errorf("a check takes %v", took)
			}
		}
		// At 5 s, and when the first one had timed out at 15 s.
		p.want(t, "without replies", "replies do not come in time", 2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begun := time.Now()
		p.check(ctx)
		if took := time.Since(begun); took > 0 {
			t.Errorf("a check that nobody waits for takes %v", took)
		}
	})
}

// TestHealthOfBucket: a server whose store is gone says so, and sessions tell
// when it is back.
func TestHealthOfBucket(t *testing.T) {
	cfg, objects := inBucket(t, "mail-00", "mail-01")
	cfg.Console.Listen = []string{"127.0.0.1:0"}
	d, _ := start(t, cfg)
	for _, path := range []string{"/healthz", "/livez"} {
		if code, text := get(t, d, path); code != 200 || text != "ok\n" {
			t.Errorf("%s: %d, %q", path, code, text)
		}
	}
	objects.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
		buckettest.Failure(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	})
	p := d.operator.pulse
	age := func() { // as if it had been silent
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answered, p.asked = p.answered.Add(-time.Hour), p.asked.Add(-time.Hour)
		p.waiting = p.answered
	}
	age()
	if code, text := get(t, d, "/healthz"); code != 503 || !strings.HasPrefix(text, "the object store has given no good answer for 1h0m0s") {
		t.Errorf("/healthz without the store: %d, %q", code, text)
	}
	if code, _ := get(t, d, "/livez"); code != 200 {
		t.Errorf("/livez without the store: %d: the server would be restarted, which helps nobody", code)
	}
	objects.Answer(nil)
	age()
	for code := 503; code != 200; code, _ = get(t, d, "/healthz") { // it may take the store a while
		time.Sleep(time.Millisecond)
	}
	age()
	before := time.Now()
	c, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), trust(t, pairBelow(cfg.State).Certificate))
	if err := logIn(t, c, err, "secret"); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answered.Before(before) {
		t.Error("a login is not heard of as an answer of the store")
	}
}

// TestShutdownDelay: a server that is about to end says so first, and takes
// connections as before; being told again ends it.
func TestShutdownDelay(t *testing.T) {
	cfg := newConfig(t)
	cfg.Console.Listen = []string{"127.0.0.1:0"}
	cfg.Limits.ShutdownDelay = time.Hour
	d, l := start(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Wait(ctx) }()
	cancel()
	for !strings.Contains(l.String(), "about to shut down") {
		time.Sleep(time.Millisecond)
	}
	if code, text := get(t, d, "/healthz"); code != 503 || !strings.Contains(text, "shutting down") {
		t.Errorf("/healthz: %d, %q", code, text)
	}
	if code, _ := get(t, d, "/livez"); code != 200 {
		t.Errorf("/livez: %d", code)
	}
	c, err := pop3client.Dial(t.Context(), d.Addrs()[1].Addr.String(), trust(t, pairBelow(cfg.State).Certificate))
	if err := logIn(t, c, err, "secret"); err != nil {
		t.Errorf("a new session: %v", err)
	}
	d.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestShutdownDelayPasses: what comes behind the delay is a shutdown.
func TestShutdownDelayPasses(t *testing.T) {
	cfg := newConfig(t)
	cfg.Limits.ShutdownDelay = time.Millisecond
	d, l := start(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Wait(ctx); err != nil {
		t.Error(err)
	}
	if text := l.String(); !strings.Contains(text, "about to shut down") || !strings.Contains(text, "msg=stopped") {
		t.Errorf("logged is %s", text)
	}
}
