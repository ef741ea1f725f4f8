// Package collect is `poplin fetch` as a type: accounts of a configuration,
// fetched once, or again and again. New assembles a Collector; Once and
// Daemon run it.
package collect

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
	"github.com/poplin-mail/poplin/internal/fetch/diagnose"
	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// Options say what a Collector is for.
type Options struct {
	Accounts []string  // names; none: all that are not disabled
	Trace    io.Writer // gets what passes between client and servers, without passwords; nil: nobody
	Terminal bool      // a command for a password may ask a person
	DryRun   bool      // no target is made or swept; nothing can be delivered
	Logger   *slog.Logger
}

// Collector has accounts to fetch.
type Collector struct {
	Jobs     []*Job
	parallel int
	log      *slog.Logger
}

// Job is one account.
type Job struct {
	*fetch.Account
	Config config.Account
	Watch  *fetch.Watch

	connector *connector
	env       []string // of commands
}

// Explain says step by step how a login goes.
func (j *Job) Explain(ctx context.Context) []diagnose.Step { return j.connector.explain(ctx) }

// Address gives the server's host and port; the port is 0 where it is the usual
// one.
func (j *Job) Address() (host string, port int) { return j.connector.address() }

// New assembles a Collector. It connects to nothing.
func New(cfg *config.Config, opts Options) (*Collector, error) {
	state, err := stateFolder(cfg)
	if err != nil {
		return nil, err
	}
	c := &Collector{parallel: cfg.Fetch.Parallel, log: opts.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	for _, name := range opts.Accounts {
		if !slices.ContainsFunc(cfg.Fetch.Accounts, func(a config.Account) bool { return a.Name == name }) {
			return nil, fmt.Errorf("there is no [fetch.%s] in %s", name, cfg.File)
		}
	}
	for _, a := range cfg.Fetch.Accounts {
		if len(opts.Accounts) == 0 && a.Disabled || len(opts.Accounts) > 0 && !slices.Contains(opts.Accounts, a.Name) {
			continue
		}
		j, err := newJob(cfg, a, filepath.Join(state, a.Name), opts)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("[fetch.%s] %w", a.Name, err)
		}
		c.Jobs = append(c.Jobs, j)
	}
	if len(c.Jobs) == 0 {
		return nil, fmt.Errorf("there is nothing to fetch: %s has no [fetch.NAME] that is not disabled; `poplin fetch setup` makes one", cfg.File)
	}
	return c, nil
}

// Close ends the use of all targets.
func (c *Collector) Close() {
	for _, j := range c.Jobs {
		for _, t := range j.Targets {
			t.Close()
		}
	}
}

// stateFolder gives the folder with the journals: below the state of the
// configuration where that is not the default, or the user is root, and
// otherwise where the user's programs keep such things.
func stateFolder(cfg *config.Config) (string, error) {
	if cfg.State != config.Default().State || os.Geteuid() == 0 {
		return filepath.Join(cfg.State, "fetch"), nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "poplin", "fetch"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("there is no home folder to keep notes in: set state in %s", cfg.File)
	}
	return filepath.Join(home, ".local", "state", "poplin", "fetch"), nil
}

// newJob assembles an account.
func newJob(cfg *config.Config, a config.Account, state string, opts Options) (*Job, error) {
	keep, err := fetch.ParsePolicy(a.Keep)
	if err != nil {
		return nil, err
	}
	logs := logins{tokens: tokenFolder(filepath.Dir(state)), env: environment(cfg), opts: opts}
	connect, err := newConnector(a, logs)
	if err != nil {
		return nil, err
	}
	host, _ := connect.address()
	profile, err := profileOf(a, host)
	if err != nil {
		return nil, err
	}
	account := &fetch.Account{
		Name:           a.Name,
		Connect:        connect.connect,
		State:          state,
		Keep:           keep,
		MaxMessage:     int64(a.MaxMessage),
		HeaderOnly:     a.Large == config.Header,
		BrakeDeletions: a.Brake,
	}
	if profile != nil {
		account.PoppedAtQuit = profile.PoppedAtQuit
		account.Sessions = profile.SessionMessages > 0
		a.Interval = max(a.Interval, profile.MinInterval)
	}
	targets := opener{cfg: cfg, account: a.Name, state: state, logins: logs, disk: disk.OS{}}
	if opts.DryRun {
		targets.disk = disk.Untouched{}
	}
	for _, to := range a.To {
		t, err := targets.open(to)
		if err != nil {
			return nil, fmt.Errorf("to = %q: %w", to, err)
		}
		account.Targets = append(account.Targets, t)
	}
	for i, t := range account.Targets {
		if slices.Contains(targetNames(account.Targets[:i]), t.Name()) {
			return nil, fmt.Errorf("to names %s twice, by different words", t.Name())
		}
	}
	return &Job{account, a, new(fetch.Watch), connect, logs.env}, nil
}

func targetNames(targets []target.Target) (names []string) {
	for _, t := range targets {
		names = append(names, t.Name())
	}
	return names
}

// Result is what came of an account.
type Result struct {
	*fetch.Report
	Err       error         `json:"-"`
	Error     string        `json:"error,omitempty"`
	Temporary bool          `json:"temporary,omitempty"` // the error may pass by itself
	Took      time.Duration `json:"-"`
	Seconds   float64       `json:"seconds"`
}

// Once fetches all accounts, some at the same time, and gives what came of
// each, in their order. Done is called as each ends.
func (c *Collector) Once(ctx context.Context, opts fetch.Options, done func(*Job, Result)) []Result {
	results := make([]Result, len(c.Jobs))
	slots := make(chan struct{}, c.parallel)
	ended := make(chan int, len(c.Jobs))
	for i, j := range c.Jobs {
		go func() {
			slots <- struct{}{}
			results[i] = j.run(ctx, opts)
			<-slots
			ended <- i
		}()
	}
	for range c.Jobs {
		i := <-ended
		c.hook(ctx, c.Jobs[i], results[i])
		done(c.Jobs[i], results[i])
	}
	return results
}

// run fetches the account.
func (j *Job) run(ctx context.Context, opts fetch.Options) Result {
	begun := time.Now()
	opts.Watch = j.Watch
	report, err := j.Run(ctx, opts)
	r := Result{Report: report, Err: err, Took: time.Since(begun)}
	r.Seconds = r.Took.Seconds()
	if err != nil {
		r.Error, r.Temporary = err.Error(), fetch.Temporary(err)
	}
	return r
}
