package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/poplin-mail/poplin/internal/daemon"
)

type serveCmd struct {
	configFlag
	LogFormat string `enum:",text,json" default:"" placeholder:"text|json" help:"Form of the log, instead of log.format."`
	LogLevel  string `enum:",debug,info,warn,error" default:"" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn or error, instead of log.level."`
}

// Help shows below the flags.
func (serveCmd) Help() string {
	return `The log goes to standard error. SIGTERM and Ctrl-C drain: sessions may go on for
limits.shutdown_grace, and a second signal cuts them. SIGHUP reads the certificate
and the users again.

Example:

  poplin serve --config /etc/poplin/poplin.toml`
}

// Run serves until a signal ends it.
func (c *serveCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if c.LogFormat != "" {
		cfg.Log.Format = c.LogFormat
	}
	if c.LogLevel != "" {
		cfg.Log.Level = c.LogLevel
	}
	log := daemon.NewLogger(cfg, t.err)
	for _, warning := range cfg.Warnings() {
		log.Warn(warning)
	}
	d, err := daemon.New(cfg, log)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if err := d.Start(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-hangups:
				_ = d.Reload() // it is logged
			case <-done:
				return
			}
		}
	}()
	return waitForSignal(ctx, d)
}

// waitForSignal serves until SIGINT or SIGTERM, and drains. A second signal
// cuts what is left.
func waitForSignal(ctx context.Context, d *daemon.Daemon) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-signals:
				if ctx.Err() != nil {
					d.Close()
				}
				cancel()
			case <-ended:
				return
			}
		}
	}()
	return d.Wait(ctx)
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
