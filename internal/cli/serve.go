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
	ctx, again, stop := interruptible(ctx)
	defer stop()
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
	return serveUntil(ctx, again, d)
}

// interruptible gives a context that the first SIGINT or SIGTERM ends; the
// second closes again. stop gives the signals back.
func interruptible(parent context.Context) (ctx context.Context, again <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	second, done := make(chan struct{}), make(chan struct{})
	go func() {
		for n := 1; n <= 2; n++ {
			select {
			case <-signals:
				cancel()
				if n == 2 {
					close(second)
				}
			case <-done:
				return
			}
		}
	}()
	return ctx, second, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// serveUntil serves until ctx ends, and drains; again cuts what is left.
func serveUntil(ctx context.Context, again <-chan struct{}, d *daemon.Daemon) error {
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-again:
			d.Close()
		case <-ended:
		}
	}()
	return d.Wait(ctx)
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
