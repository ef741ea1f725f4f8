package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/poplin-mail/poplin/internal/collect"
	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/internal/fetch"
	"github.com/poplin-mail/poplin/internal/process"
)

// fetchCmd is `poplin fetch`.
type fetchCmd struct {
	Run   fetchRunCmd   `cmd:"" default:"withargs" help:"Fetch accounts, all or those that are named."`
	Setup fetchSetupCmd `cmd:"" help:"Find the server of an address, and add the account."`
	Login fetchLoginCmd `cmd:"" help:"Consent to OAuth 2.0, or put a password into the keyring."`
}

type fetchRunCmd struct {
	fetchConfigFlag
	Accounts  []string `arg:"" optional:"" name:"account" help:"Accounts: the NAME of a [fetch.NAME]. Without any: all that are not disabled."`
	Daemon    bool     `help:"Go on, each account at its own interval, until a signal."`
	DryRun    bool     `help:"Only say what would be fetched and deleted."`
	Delete    bool     `help:"Delete on the server what keep says, however much that is."`
	Retry     bool     `help:"Try again what has failed too often to be tried."`
	UIDs      string   `name:"uids" enum:"stop,match,new" default:"stop" placeholder:"match|new" help:"When the server has numbered its mail anew: find the messages again by their headers, or take all for new."`
	NewTarget bool     `help:"When all places that mail goes to are new: have what is on the server still come there too."`
	JSON      bool     `name:"json" help:"Print an event a line, in JSON."`
	Quiet     bool     `short:"q" help:"Print errors only."`
	Trace     string   `placeholder:"FILE" type:"path" help:"Write what passes between client and servers to a file, without passwords, and of messages the sizes only."`
}

// Help shows below the flags.
func (fetchRunCmd) Help() string {
	return `A message is deleted on the server only when it is safe, durably, in each place that the
account's to names, and never comes twice, however a run ends. The configuration is
$XDG_CONFIG_HOME/poplin/poplin.toml, where there is one, and otherwise that of the server.

With --daemon SIGHUP reads the configuration again, and SIGTERM and Ctrl-C end.

Exit codes: 0 all is well, 1 somebody must mend something, 2 wrong command line, 75 some of it failed and may go well next time.

Examples:

  poplin fetch
  poplin fetch work --dry-run
  poplin fetch --daemon`
}

// fetchConfigFlag is configFlag for what users run for themselves.
type fetchConfigFlag struct {
	configFlag
}

// AfterApply takes the user's own file where none is named and there is one.
func (f *fetchConfigFlag) AfterApply() error {
	if f.Config != defaultConfig {
		return nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return nil // no home folder, and no file in it
	}
	path := filepath.Join(dir, "poplin", "poplin.toml")
	if !isMissing(statError(path)) || os.Geteuid() != 0 && isMissing(statError(f.Config)) {
		f.Config = path
	}
	return nil
}

// load reads the file, and says how to begin where there is none.
func (f fetchConfigFlag) load() (*config.Config, error) {
	cfg, err := config.Load(f.Config)
	if isMissing(err) {
		return nil, fmt.Errorf("there is no configuration file %s: `poplin fetch setup ADDRESS` makes one, or name it with --config", f.Config)
	}
	return cfg, err
}

func statError(path string) error {
	_, err := os.Stat(path)
	return err
}

// Run fetches.
func (c *fetchRunCmd) Run(ctx context.Context, t *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	trace, err := c.openTrace()
	if err != nil {
		return err
	}
	if file, ok := trace.(io.Closer); ok {
		defer file.Close()
	}
	if c.Daemon {
		return c.daemon(ctx, t, trace)
	}
	collector, err := c.collector(t, trace)
	if err != nil {
		return err
	}
	defer collector.Close()
	show := newFetchReport(c, t, collector.Jobs)
	results := collector.Once(ctx, c.options(), show.ended)
	show.finish(results)
	return verdict(results)
}

// collector reads the configuration and assembles what it says.
func (c *fetchRunCmd) collector(t *terminal, trace io.Writer) (*collect.Collector, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	return collect.New(cfg, collect.Options{Accounts: c.Accounts, Trace: trace, Terminal: !c.Daemon, DryRun: c.DryRun, Logger: daemon.NewLogger(cfg, t.err)})
}

func (c *fetchRunCmd) options() fetch.Options {
	return fetch.Options{DryRun: c.DryRun, Retry: c.Retry, Delete: c.Delete, NewTargets: c.NewTarget,
		UIDs: map[string]fetch.UIDs{"stop": fetch.StopUIDs, "match": fetch.MatchUIDs, "new": fetch.NewUIDs}[c.UIDs]}
}

// verdict gives the exit code: somebody must mend something, which a message
// that is given up wants too, or all that failed may go well next time.
func verdict(results []collect.Result) error {
	code := exitOK
	for _, r := range results {
		givenUp := len(r.GivenUp) > 0 || slices.ContainsFunc(r.Failed, func(f fetch.FailedMessage) bool { return f.GivenUp })
		switch {
		case r.Err != nil && !r.Temporary, givenUp:
			code = exitFailure
		case (r.Err != nil || len(r.Failed) > 0 || len(r.Waiting) > 0) && code == exitOK:
			code = exitTryAgain
		}
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code, errReported}
}

// daemon fetches until a signal.
func (c *fetchRunCmd) daemon(ctx context.Context, t *terminal, trace io.Writer) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	collector, err := c.collector(t, trace)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(t.err, nil))
	notify := process.Notifier{Logger: log}
	notify.Ready()
	defer notify.Stopping()
	go notify.Watchdog(ctx)
	for {
		round, end := context.WithCancel(ctx)
		ended := make(chan struct{})
		show := newFetchReport(c, t, collector.Jobs)
		go func() {
			collector.Daemon(round, c.options(), show.ended)
			close(ended)
		}()
		next := c.reloaded(round, t, trace, reload, notify, log)
		end()
		<-ended
		collector.Close()
		if next == nil {
			return nil
		}
		collector = next
	}
}

// reloaded waits for a configuration that can be used, nil when ctx ends.
func (c *fetchRunCmd) reloaded(ctx context.Context, t *terminal, trace io.Writer, reload <-chan os.Signal, notify process.Notifier, log *slog.Logger) *collect.Collector {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reload:
			notify.Reloading()
			next, err := c.collector(t, trace)
			notify.Ready()
			if err == nil {
				return next
			}
			log.Error("the configuration cannot be used: what was read before stays", "error", err)
		}
	}
}

// openTrace opens the file for the trace; without one there is none.
func (c *fetchRunCmd) openTrace() (io.Writer, error) {
	if c.Trace == "" {
		return nil, nil
	}
	f, err := os.OpenFile(c.Trace, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the trace cannot be written: %w", err)
	}
	return f, nil
}
