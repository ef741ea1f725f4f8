package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/delivery"
	"github.com/poplin-mail/poplin/internal/process"
	"github.com/poplin-mail/poplin/internal/proxyproto"
	"github.com/poplin-mail/poplin/pop3server"
)

// Listeners are the addresses of a configuration, bound and not served yet:
// connections wait in the kernel.
type Listeners struct {
	all   []net.Listener
	addrs []Addr
}

// Listen binds the addresses of the configuration, but for those that sockets
// has already. It is done before New where New is to run with fewer rights
// than binding takes. Sockets are closed that the configuration no longer
// names. With an error none is left open.
func Listen(ctx context.Context, cfg *config.Config, sockets *process.Sockets, logger *slog.Logger) (*Listeners, error) {
	l := &Listeners{}
	for _, part := range []struct {
		protocol string
		addrs    []string
	}{
		{"pop3", cfg.POP3.Listen},
		{"pop3s", cfg.POP3S.Listen},
		{"lmtp", cfg.LMTP.Listen},
		{"console", cfg.Console.Listen},
		{"acme", acmeListen(cfg)},
	} {
		bound, err := sockets.Listen(ctx, part.protocol, part.addrs)
		if err != nil {
			sockets.Close()
			var bind *process.BindError
			if errors.As(err, &bind) {
				return nil, bindError(bind.Name, bind.Addr, bind.Err)
			}
			return nil, err
		}
		for _, b := range bound {
			_, tcp := b.Addr().(*net.TCPAddr)
			if !tcp && part.protocol != "lmtp" {
				err = fmt.Errorf("%s: the socket %s that was handed over is not of TCP", part.protocol, b.Addr())
			} else if !tcp && !sockets.Given(b) {
				err = openTo(cfg, b.Addr().String())
			}
			if err != nil {
				sockets.Close()
				return nil, err
			}
			l.all = append(l.all, b)
			l.addrs = append(l.addrs, Addr{part.protocol, b.Addr()})
		}
	}
	for _, unused := range sockets.CloseUnused() {
		logger.Info("no longer listening", "address", unused)
	}
	return l, nil
}

func acmeListen(cfg *config.Config) []string {
	if len(cfg.ACME.Domains) == 0 {
		return nil
	}
	return []string{cfg.ACME.HTTPListen}
}

// Serve serves the listeners in the background. It is called once.
func (d *Daemon) Serve(l *Listeners) {
	d.addrs = l.addrs
	d.guard.Start()
	d.listenControl()
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	trusted := networks(d.cfg.Proxy.Trusted)
	for i, listener := range l.all {
		protocol := l.addrs[i].Protocol
		d.log.Info("listening", "protocol", protocol, "address", listener.Addr().String())
		if protocol == "acme" {
			d.acme = listener // served by the certificates
			continue
		}
		if protocol != "console" && protocol != "lmtp" && len(trusted) > 0 {
			listener = proxyproto.Listener(listener, trusted, d.cfg.Limits.HandshakeTimeout, d.log)
		}
		serve := d.server.Serve
		switch protocol {
		case "pop3s":
			serve = d.server.ServeTLS
		case "lmtp":
			serve = d.intake.serve
		case "console":
			serve = d.operator.console.Serve
		}
		d.serving.Go(func() {
			if err := serve(listener); err != nil && !errors.Is(err, pop3server.ErrServerClosed) && !errors.Is(err, delivery.ErrServerClosed) {
				select {
				case d.failed <- fmt.Errorf("%s: %w", listener.Addr(), err):
				default:
				}
			}
		})
	}
	d.serving.Go(func() { d.certs.Run(ctx) })
	d.serving.Go(func() { new(upkeep).run(ctx) })
	d.serving.Go(func() { d.expireDaily(ctx) })
}
