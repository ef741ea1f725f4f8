// Package daemon is the server program as a type: New assembles it from a
// configuration, Start binds and serves, Reload reads the certificate and the
// users again, Shutdown drains. Tests start and stop it in their process.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/console"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/guard"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/maildrop/maildir"
	"github.com/poplin-mail/poplin/maildrop/memory"
	"github.com/poplin-mail/poplin/pop3server"
)

// Daemon is one server program. Make it with New. After Start it is used by
// many goroutines at once.
type Daemon struct {
	cfg    *config.Config
	log    *slog.Logger
	users  *directory.Directory
	guard  *guard.Guard
	certs  *certificates
	store  maildrop.Store
	server *pop3server.Server

	operator operator

	serving sync.WaitGroup
	failed  chan error // the first listener that failed
	addrs   []Addr
}

// Addr is an address that a Daemon listens on.
type Addr struct {
	Protocol string // "pop3", "pop3s" for TLS from the first octet, or "console"
	Addr     *net.TCPAddr
}

// New assembles a Daemon: it reads the users and the certificate, which it
// makes where none is configured, and opens no socket. A nil logger discards.
// The configuration must not be changed afterwards.
func New(cfg *config.Config, logger *slog.Logger) (*Daemon, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	d := &Daemon{cfg: cfg, log: logger, failed: make(chan error, 1)}
	var err error
	if d.certs, err = newCertificates(cfg, logger); err != nil {
		return nil, err
	}
	if d.store, err = newStore(cfg, logger); err != nil {
		return nil, err
	}
	if d.users, err = newDirectory(cfg, logger); err != nil {
		return nil, err
	}
	d.guard = newGuard(cfg, logger)
	d.operator.metrics = console.NewMetrics()
	limits := cfg.Limits
	d.server, err = pop3server.New(d.store, d.users, pop3server.Options{
		TLSConfig:             d.certs.config(),
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
		MaxSessions:           limits.Sessions,
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

func newStore(cfg *config.Config, logger *slog.Logger) (maildrop.Store, error) {
	if cfg.Maildrops.Store == config.Memory {
		return memoryStore{memory.New()}, nil
	}
	opts := cfg.MaildirOptions()
	opts.Logger = logger
	store, err := maildir.New(opts)
	if err != nil {
		return nil, fmt.Errorf("maildrops: %w", err)
	}
	return store, nil
}

// memoryStore makes a maildrop at its first login: every name that it is
// asked for is one of the directory.
type memoryStore struct{ *memory.Store }

// Open implements maildrop.Store.
func (s memoryStore) Open(ctx context.Context, name string) (maildrop.Maildrop, error) {
	s.Create(name)
	return s.Store.Open(ctx, name)
}

// Start binds all addresses and serves them in the background. With an error
// none is bound.
func (d *Daemon) Start(ctx context.Context) error {
	var listeners []net.Listener
	bind := func(protocol string, addrs []string) error {
		for _, addr := range addrs {
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
			if err != nil {
				return bindError(protocol, addr, err)
			}
			listeners = append(listeners, l)
			d.addrs = append(d.addrs, Addr{protocol, l.Addr().(*net.TCPAddr)})
		}
		return nil
	}
	err := bind("pop3", d.cfg.POP3.Listen)
	if err == nil {
		err = bind("pop3s", d.cfg.POP3S.Listen)
	}
	if err == nil {
		err = bind("console", d.cfg.Console.Listen)
	}
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		d.addrs = nil
		return err
	}
	d.guard.Start()
	d.listenControl()
	for i, l := range listeners {
		d.log.Info("listening", "protocol", d.addrs[i].Protocol, "address", l.Addr().String())
		serve := d.server.Serve
		switch d.addrs[i].Protocol {
		case "pop3s":
			serve = d.server.ServeTLS
		case "console":
			serve = d.operator.console.Serve
		}
		d.serving.Go(func() {
			if err := serve(l); err != nil && !errors.Is(err, pop3server.ErrServerClosed) {
				select {
				case d.failed <- fmt.Errorf("%s: %w", l.Addr(), err):
				default:
				}
			}
		})
	}
	return nil
}

// Addrs gives the addresses that Start bound, in the order of the
// configuration, pop3 before pop3s before console.
func (d *Daemon) Addrs() []Addr { return d.addrs }

// Run starts, serves until ctx ends or a listener fails, and then drains for
// the grace time of the configuration. It returns nil where ctx ended it.
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

// Shutdown stops accepting connections and lets sessions end until ctx does.
// Those that are left are cut, and the error is that of ctx. The Daemon is of
// no use afterwards.
func (d *Daemon) Shutdown(ctx context.Context) error {
	d.operator.draining.Store(true)
	err := d.server.Shutdown(ctx)
	d.operator.close()
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
	if err := d.certs.reload(); err != nil {
		d.log.Error("certificate cannot be read: the one in use stays", "error", err)
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
