// Package daemon is the server program as a type: New assembles it from a
// configuration, Start binds and serves, Reload reads the certificate and the
// users again, Shutdown drains. Tests start and stop it in their process.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/poplin-mail/poplin/internal/certs"
	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/console"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/guard"
	"github.com/poplin-mail/poplin/internal/process"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3server"
)

// Daemon is one server program. Make it with New. After Start it is used by
// many goroutines at once.
type Daemon struct {
	cfg    *config.Config
	log    *slog.Logger
	users  *directory.Directory
	guard  *guard.Guard
	certs  *certs.Certificates
	store  maildrop.Store
	server *pop3server.Server
	intake intake

	operator operator

	serving sync.WaitGroup
	failed  chan error // the first listener that failed
	addrs   []Addr

	acme     net.Listener  // for acme.http_listen; nil without ACME
	stop     func()        // what runs in the background
	replaced chan struct{} // closed: another process serves the sockets
	closing  chan struct{} // closed when Shutdown begins
	close    sync.Once     // closes it
}

// Addr is an address that a Daemon listens on.
type Addr struct {
	Protocol string // "pop3", "pop3s" for TLS from the first octet, "lmtp", "console" or "acme"
	Addr     net.Addr
}

// New assembles a Daemon: it reads the users and the certificate, which it
// makes where none is configured, and opens no socket. A nil logger discards.
// The configuration must not be changed afterwards.
func New(cfg *config.Config, logger *slog.Logger) (*Daemon, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	d := &Daemon{cfg: cfg, log: logger, failed: make(chan error, 1), stop: func() {}, replaced: make(chan struct{}), closing: make(chan struct{})}
	var err error
	if d.certs, err = newCertificates(cfg, func() net.Listener { return d.acme }, logger); err != nil {
		return nil, err
	}
	d.operator.metrics = console.NewMetrics()
	if err := d.openStore(); err != nil {
		return nil, err
	}
	if d.users, err = newDirectory(cfg, logger); err != nil {
		return nil, err
	}
	if err := d.newIntake(); err != nil {
		d.users.Close()
		return nil, err
	}
	d.guard = newGuard(cfg, logger)
	limits := cfg.Limits
	d.server, err = pop3server.New(d.store, d.users, pop3server.Options{
		TLSConfig:             d.certs.Config(),
		InsecureAuth:          !cfg.POP3.RequireTLS,
		APOP:                  cfg.POP3.APOP,
		Hostname:              cfg.Hostname,
		Logger:                logger,
		Observer:              d.operator.metrics,
		IdleTimeout:           limits.IdleTimeout,
		LoginTimeout:          limits.LoginTimeout,
		WriteTimeout:          limits.WriteTimeout,
		HandshakeTimeout:      limits.HandshakeTimeout,
		LoginDelay:            limits.LoginDelay,
		Expire:                cfg.Retention.Expire,
		ExpireByUser:          true,
		MaxSessions:           fit(cfg, descriptors(), logger),
		MaxSessionsPerAddr:    limits.SessionsPerAddress,
		MaxSessionsPerNetwork: limits.SessionsPerNetwork,
		MaxHandshakes:         limits.Handshakes,
		KnownNetworks:         networks(limits.KnownNetworks),
		Mechanisms:            mechanisms(cfg),
		Guard:                 d.guard,
	})
	if err != nil {
		d.guard.Close()
		d.users.Close()
		return nil, err
	}
	d.watch()
	return d, nil
}

// Start binds all addresses and serves them in the background. With an error
// none is bound.
func (d *Daemon) Start(ctx context.Context) error {
	l, err := Listen(ctx, d.cfg, &process.Sockets{}, d.log)
	if err != nil {
		return err
	}
	d.Serve(l)
	return nil
}

// Addrs gives the addresses that are served, in the order of the
// configuration, pop3 before pop3s before console.
func (d *Daemon) Addrs() []Addr { return d.addrs }

// Run starts, serves until ctx ends or a listener fails, and then drains: after
// the delay of the configuration, and for its grace time. It returns nil where
// ctx ended it.
func (d *Daemon) Run(ctx context.Context) error {
	if err := d.Start(ctx); err != nil {
		return err
	}
	return d.Wait(ctx)
}

// Wait is Run after Start.
func (d *Daemon) Wait(ctx context.Context) error {
	var failure error
	select {
	case <-ctx.Done():
		d.linger()
	case <-d.replaced:
		d.retire(ctx)
	case failure = <-d.failed:
		d.log.Error("listener failed", "error", failure)
	}
	d.log.Info("shutting down", "sessions", d.server.Sessions(), "grace", d.cfg.Limits.ShutdownGrace)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.Limits.ShutdownGrace)
	defer cancel()
	if err := d.Shutdown(grace); err != nil {
		d.log.Warn("sessions were cut: nothing was deleted without QUIT", "reason", err)
	}
	d.log.Info("stopped")
	return failure
}

// linger goes on taking connections for the delay of the configuration, while
// the health check fails: balancers look at that, and send others elsewhere.
func (d *Daemon) linger() {
	d.operator.draining.Store(true)
	delay := d.cfg.Limits.ShutdownDelay
	if delay <= 0 {
		return
	}
	d.log.Info("about to shut down: the health check fails, connections are still taken", "delay", delay)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.closing:
	}
}

// Replaced tells Wait that another process serves the sockets now. Wait stops
// accepting connections, lets sessions come to their own end within the grace
// time for upgrades, and returns. It is called once.
func (d *Daemon) Replaced() { close(d.replaced) }

// retire waits until all sessions have ended, for the grace time of upgrades
// or until ctx ends.
func (d *Daemon) retire(ctx context.Context) {
	d.log.Info("replaced: a new process takes connections", "sessions", d.server.Sessions(), "grace", d.cfg.Limits.UpgradeGrace)
	d.operator.console.Close() // the successor answers
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.Limits.UpgradeGrace)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		d.intake.shutdown(grace)
		ended <- d.server.Retire(grace)
	}()
	select {
	case err := <-ended:
		if err != nil {
			d.log.Warn("sessions were cut: nothing was deleted without QUIT", "reason", err)
		}
	case <-ctx.Done():
	}
}

// Shutdown stops accepting connections and lets sessions end until ctx does.
// Those that are left are cut, and the error is that of ctx. The Daemon is of
// no use afterwards.
func (d *Daemon) Shutdown(ctx context.Context) error {
	d.operator.draining.Store(true)
	d.close.Do(func() { close(d.closing) })
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		d.intake.shutdown(ctx)
	}()
	err := d.server.Shutdown(ctx)
	<-delivered
	d.operator.close()
	d.stop()
	d.serving.Wait()
	if err := d.guard.Close(); err != nil {
		d.log.Error("cannot write which users are known where", "error", err)
	}
	d.users.Close()
	if c, ok := d.store.(interface{ Close() error }); ok {
		c.Close()
	}
	return err
}

// Close is Shutdown without waiting for sessions.
func (d *Daemon) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = d.Shutdown(ctx) // the error says that sessions were cut, as was asked
}

// Reload reads the certificate and the users again. What cannot be read stays
// as it was, is logged, and is in the error.
func (d *Daemon) Reload() error {
	var errs []error
	if err := d.certs.Reload(); err != nil {
		d.log.Error("certificate cannot be read: the one in use stays", "error", err)
		errs = append(errs, err)
	}
	if err := d.intake.reload(); err != nil {
		d.log.Error("aliases cannot be read: those known before stay", "error", err)
		errs = append(errs, err)
	}
	if err := d.users.Reload(); err != nil {
		err = usersError(d.cfg, err)
		d.log.Error("users cannot be read: those known before stay", "error", err)
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		d.log.Info("reloaded")
	}
	return errors.Join(errs...)
}
