package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/poplin-mail/poplin/internal/cli/demomail"
	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/maildrop/maildir"
)

type demoCmd struct {
	Once      bool   `help:"End after the check, instead of serving until Ctrl-C."`
	State     string `default:".demo" placeholder:"DIR" help:"Folder for the certificate, the user and the mail (default: ${default})."`
	Listen    string `default:"127.0.0.1:0" placeholder:"ADDR" help:"Loopback address for POP3 with STLS (default: ${default}, a free port)."`
	ListenTLS string `name:"listen-tls" default:"127.0.0.1:0" placeholder:"ADDR" help:"Loopback address for POP3 over TLS (default: ${default}, a free port)."`
	JSON      bool   `name:"json" help:"Print JSON, an event a line."`
}

// Help shows below the flags.
func (demoCmd) Help() string {
	return `Makes a folder with a self-signed certificate, the user "demo" with the password
"demo", and a Maildir with messages; serves it on this machine only; retrieves every
message over TLS with Poplin's own client, and compares it octet by octet with what was
delivered. Then it prints lines to try with other clients, and serves until Ctrl-C.

Nothing else on the machine is touched, and no configuration is needed. Another run in
the same folder keeps the certificate and fills the Maildir anew.

Example:

  poplin demo --once`
}

// The account of the demo. It is no secret: the server listens on loopback
// addresses only, and the mail is made up.
const (
	demoUser     = "demo"
	demoPassword = "demo"
)

// delivered is a message as it must come out: told by its unique-id.
type delivered struct {
	number int // in the order of delivery, from 1
	octets int64
	sum    [sha256.Size]byte
	about  string
}

// demo is one run.
type demo struct {
	cmd    *demoCmd
	report reporter
	state  *demoState
	daemon *daemon.Daemon
	mail   map[string]delivered
	octets int64
	clear  string // host:port of POP3
	tls    string // host:port of POP3 over TLS
}

// Run runs the demo.
func (c *demoCmd) Run(ctx context.Context, t *terminal) error {
	for _, addr := range []string{c.Listen, c.ListenTLS} {
		if err := loopbackOnly(addr); err != nil {
			return err
		}
	}
	ctx, again, stop := interruptible(ctx)
	defer stop()
	state, err := openDemoState(c.State)
	if err != nil {
		return err
	}
	defer state.Close()
	d := &demo{cmd: c, state: state, report: newReporter(c, t)}
	err = d.run(ctx, again)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return errors.New("demo: interrupted")
	}
	return err
}

// loopbackOnly refuses addresses that other machines reach: the password is
// known to everybody.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not a loopback address with a port, such as 127.0.0.1:1110: the demo serves this machine only", addr)
	}
	return nil
}

func (d *demo) run(ctx context.Context, again <-chan struct{}) error {
	cfg, err := d.state.prepare(ctx, d.cmd.Listen, d.cmd.ListenTLS)
	if err != nil {
		return err
	}
	if err := d.deliver(ctx, cfg); err != nil {
		return err
	}
	if d.daemon, err = daemon.New(cfg, daemon.NewLogger(cfg, d.state.log)); err != nil {
		return err
	}
	if err := d.daemon.Start(ctx); err != nil {
		return err
	}
	defer d.daemon.Close()
	addrs := d.daemon.Addrs()
	d.clear, d.tls = addrs[0].Addr.String(), addrs[1].Addr.String()
	d.report.started(d)
	if err := d.check(ctx); err != nil {
		return err
	}
	if d.cmd.Once {
		return nil
	}
	d.report.hints(d)
	d.report.serving()
	return serveUntil(ctx, again, d.daemon)
}

// deliver fills the Maildir and notes what must come out of it.
func (d *demo) deliver(ctx context.Context, cfg *config.Config) error {
	opts := cfg.MaildirOptions()
	opts.Logger = slog.New(slog.NewTextHandler(d.state.log, nil))
	store, err := maildir.New(opts)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Create(ctx, demoUser); err != nil {
		return err
	}
	d.mail = make(map[string]delivered)
	for i, m := range demomail.Messages() {
		receipt, err := store.Deliver(ctx, demoUser, bytes.NewReader(m.Content))
		if err != nil {
			return fmt.Errorf("delivering the message with %s: %w", m.About, err)
		}
		wire := canonical(m.Content)
		d.mail[receipt.UID] = delivered{i + 1, int64(len(wire)), sha256.Sum256(wire), m.About}
		d.octets += int64(len(wire))
		time.Sleep(time.Millisecond) // deliveries in one instant would have no order
	}
	if len(d.mail) != len(demomail.Messages()) {
		return errors.New("two messages were delivered under one unique-id")
	}
	return nil
}

// canonical makes the form of the wire from a stored message, octet by octet
// and without the code that the server and the client use: every line end is
// CRLF, and the last line has one.
func canonical(stored []byte) []byte {
	wire := make([]byte, 0, len(stored)+len(stored)/32+2)
	last := byte('\n')
	for _, octet := range stored {
		if octet == '\n' && last != '\r' {
			wire = append(wire, '\r')
		}
		wire = append(wire, octet)
		last = octet
	}
	if len(stored) > 0 && last != '\n' {
		wire = append(wire, '\r', '\n')
	}
	return wire
}
