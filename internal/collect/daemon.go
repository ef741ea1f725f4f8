package collect

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch"
)

const (
	// longestWait bounds the time between two tries of an account that fails.
	longestWait = time.Hour

	// hookTime bounds how long on_new and on_error may take.
	hookTime = time.Minute
)

// Daemon fetches each account again and again, until ctx ends, and then waits
// for those that are under way. Done is called behind each run, by several
// goroutines.
func (c *Collector) Daemon(ctx context.Context, opts fetch.Options, done func(*Job, Result)) {
	slots := make(chan struct{}, c.parallel)
	var all sync.WaitGroup
	for _, j := range c.Jobs {
		all.Go(func() { c.repeat(ctx, j, opts, slots, done) })
	}
	all.Wait()
}

// repeat fetches one account again and again. The first time is within a few
// seconds, and no time is exact, so that accounts on one server do not come at
// once.
func (c *Collector) repeat(ctx context.Context, j *Job, opts fetch.Options, slots chan struct{}, done func(*Job, Result)) {
	wait := rand.N(3 * time.Second)
	for failures := 0; ; {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		r := j.run(ctx, opts)
		<-slots
		if ctx.Err() != nil && r.Err != nil {
			return
		}
		c.hook(ctx, j, r)
		done(j, r)
		if failures++; r.Err == nil {
			failures = 0
		}
		interval := j.Config.Interval
		if r.Report != nil {
			interval = max(interval, r.LoginDelay)
		}
		wait = pause(interval, failures)
	}
}

// pause gives the time until the next run: longer with each failure in a row,
// and never quite the same.
func pause(interval time.Duration, failures int) time.Duration {
	wait := interval
	if failures > 1 {
		wait = max(interval, min(interval<<min(failures-1, 10), longestWait))
	}
	return wait + rand.N(wait/10+1)
}

// hook runs the commands of the user's that go with what came of an account.
func (c *Collector) hook(ctx context.Context, j *Job, r Result) {
	if wrong := r.wrong(); wrong != "" {
		c.command(ctx, j, j.Config.OnError, "POPLIN_ERROR="+wrong)
	}
	if r.Report != nil && r.Delivered > 0 && (r.Err == nil || r.Temporary) {
		c.command(ctx, j, j.Config.OnNew, "POPLIN_COUNT="+strconv.Itoa(r.Delivered))
	}
}

// wrong says what somebody must mend that was not so before, or stops the
// account; empty where there is no such thing. A message is told of once, when
// it is given up.
func (r Result) wrong() string {
	if r.Err != nil && !r.Temporary {
		return r.Error
	}
	if r.Report == nil {
		return ""
	}
	i := slices.IndexFunc(r.Failed, func(f fetch.FailedMessage) bool { return f.GivenUp })
	if i < 0 {
		return ""
	}
	f := r.Failed[i]
	return fmt.Sprintf("message %s is given up: %s: %s", f.UID, cmp.Or(f.Target, "the server"), f.Reason)
}

// command runs a command of the user's.
func (c *Collector) command(ctx context.Context, j *Job, command, extra string) {
	if command == "" || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	hook := exec.CommandContext(ctx, "sh", "-c", command)
	hook.Env = append(slices.Clone(j.env), "POPLIN_ACCOUNT="+j.Name, extra)
	hook.WaitDelay = time.Second
	if err := hook.Run(); err != nil {
		c.log.Warn("the command of on_new or on_error failed", "account", j.Name, "error", err)
	}
}
