package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/internal/process"
)

type serveCmd struct {
	configFlag
	LogFormat string `enum:",text,json" default:"" placeholder:"text|json" help:"Form of the log, instead of log.format."`
	LogLevel  string `enum:",debug,info,warn,error" default:"" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn or error, instead of log.level."`
}

// Help shows below the flags.
func (serveCmd) Help() string {
	return `The log goes to standard error. SIGTERM and Ctrl-C drain: /healthz fails, new sessions
are taken for limits.shutdown_delay still, and sessions may go on for
limits.shutdown_grace behind that; a second signal cuts them. SIGHUP reads the
certificate and the users again. SIGUSR2 starts the program anew, from the file it was started
from, and hands it the sockets: no connection is refused, and sessions go on in the
old process for limits.upgrade_grace.

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
	program, err := process.Program()
	if err != nil {
		return err
	}
	sockets, err := process.Inherit()
	if err != nil {
		return err
	}
	defer sockets.Close()
	if err := serve(ctx, cfg, log, sockets, program); err != nil {
		sockets.Ready(err) // to the program that this one was to replace
		return err
	}
	return nil
}

// serve takes sockets, gives up rights, and serves until a signal ends it.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, sockets *process.Sockets, program string) error {
	ctx, again, stop := interruptible(ctx)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // who reads the log may end before this does
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	listeners, err := daemon.Listen(ctx, cfg, sockets, log)
	if err != nil {
		return err
	}
	if err := daemon.Confine(cfg, program, log); err != nil {
		return err
	}
	switch err := daemon.CheckStore(ctx, cfg, log); {
	case ctx.Err() != nil:
		return nil // it was told to end while it waited
	case err != nil:
		return err
	}
	d, err := daemon.New(cfg, log)
	if err != nil {
		return err
	}
	d.Serve(listeners)
	s := &service{daemon: d, log: log, sockets: sockets, program: program, systemd: process.Notifier{Logger: log}}
	if !sockets.Ready(nil) { // of a successor, the program before it says that it is ready
		s.systemd.Ready()
	}
	var helpers sync.WaitGroup
	defer helpers.Wait()
	ended, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	helpers.Go(func() { s.obey(ended, signals) })
	helpers.Go(func() { s.systemd.Watchdog(ended) })
	context.AfterFunc(ctx, s.stopping)
	return serveUntil(ctx, again, d)
}

// service is the running server as its signals see it.
type service struct {
	daemon  *daemon.Daemon
	log     *slog.Logger
	sockets *process.Sockets
	program string
	systemd process.Notifier

	replaced atomic.Bool // by an upgrade
}

// obey does what signals ask for until ctx ends.
func (s *service) obey(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case got := <-signals:
			switch {
			case got == syscall.SIGHUP:
				s.systemd.Reloading()
				_ = s.daemon.Reload() // it is logged
				s.systemd.Ready()
			case s.replaced.Load():
				s.log.Warn("there is no second upgrade here: another process is the server already")
			default:
				s.upgrade(ctx)
			}
		}
	}
}

// upgrade starts the program anew, and lets this process end with its
// sessions where that serves.
func (s *service) upgrade(ctx context.Context) {
	s.log.Info("upgrade: starting", "program", s.program)
	pid, err := s.sockets.Upgrade(ctx, s.program, os.Args[1:])
	if err != nil {
		s.log.Error("upgrade failed: this process goes on serving", "error", err)
		return
	}
	s.log.Info("upgrade: the new process serves", "pid", pid)
	s.replaced.Store(true)
	s.systemd.Successor(pid)
	s.daemon.Replaced()
}

// stopping tells systemd that the service ends, if this is it still.
func (s *service) stopping() {
	if !s.replaced.Load() {
		s.systemd.Stopping()
	}
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
