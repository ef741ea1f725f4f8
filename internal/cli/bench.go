package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/load"
)

type benchCmd struct {
	Addr string `arg:"" name:"host:port" help:"The server. Without a port: 995, or 110 where --tls is not implicit."`
	User string `short:"u" placeholder:"NAME" xor:"who" help:"Log in as this user."`
	loginFlags
	Users string `placeholder:"FILE" type:"path" xor:"who" help:"Log in as the users in this file, which has lines NAME:PASSWORD."`
	serverFlags
	Work        string        `short:"w" enum:"login,poll,top,retrieve,drain,idle,all" default:"poll" help:"What each session does: ${enum}."`
	Connections int           `short:"n" placeholder:"N" help:"Connections at a time, at most one a user. Default: one a user with idle, otherwise at most 8."`
	Duration    time.Duration `short:"d" default:"10s" help:"How long to measure."`
	Pipeline    bool          `help:"Ask for many messages at a time, as good clients do, instead of waiting for each."`
	Delete      bool          `help:"Allow drain, which deletes all mail of these users."`
	Mechanism   string        `placeholder:"NAME" default:"USER" help:"How to log in: USER for USER and PASS, a mechanism of SASL such as PLAIN, or any for the strongest on offer."`
	Resume      bool          `help:"Resume TLS sessions, as a client does that comes again, instead of a whole handshake each time."`
	Ramp        int           `placeholder:"N" default:"500" help:"Open at most N connections a second until all are there."`
	Noop        time.Duration `default:"10s" help:"With idle: how often each connection says NOOP."`
	Timeout     time.Duration `default:"30s" help:"How long the server may be silent."`
	PID         int           `name:"pid" placeholder:"PID" help:"Measure the processor time and the memory of this process and all below it: the server, where it runs on this machine (Linux)."`
	Yes         bool          `help:"Load a server that is not on this machine. It is yours, or its owner has agreed."`
	JSON        bool          `name:"json" help:"Print JSON, an event a line."`
}

// Help shows below the flags.
func (benchCmd) Help() string {
	return `Puts load on any POP3 server and measures what it does. Each connection asks for the
next thing when it has the last, so the figures are those of a server with N busy clients.
Messages are read to their end and thrown away.

  login     connect, log in, QUIT
  poll      STAT and UIDL in between, as a client that looks for new mail
  top       the header of each message
  retrieve  each message
  drain     each message, and deletes it; needs --delete. Each maildrop once
  idle      holds the connections; tells how many the server keeps, and how long NOOP takes
  all       these one after the other; drain only with --delete

Servers let one session at a time into a maildrop, so there are at most as many
connections as users. What comes before all connections are there, and a second more, is
not counted; failures are, always. The first octet is that of the reply to RETR or TOP, and
with --pipeline only that of the first one in a session.

A server elsewhere needs --yes: load takes from everybody who uses the server, and guards
against guessing and flooding may take it for an attack and lock your address out.
Ctrl-C ends the run, and prints what there is.

Exit codes: 0 every session ended well, 1 some failed, 2 wrong command line, 3 nothing
could be measured, 75 some failed and the server says of all that it passes.

Examples:

  poplin bench localhost:110 --tls none --user anna --password-file pw
  poplin bench pop.example.org --yes --users users --work retrieve --pipeline --json`
}

// Validate is called by kong behind parsing.
func (c *benchCmd) Validate() error {
	hasPassword := c.PasswordFile != "" || c.PasswordCommand != ""
	drains := c.Work == string(load.Drain)
	switch {
	case c.User == "" && c.Users == "":
		return errors.New("name a user with --user, or several with --users")
	case c.User != "" && !hasPassword:
		return errors.New("--user needs --password-file or --password-command")
	case c.Users != "" && hasPassword:
		return errors.New("the passwords are in the file of --users: leave --password-file and --password-command out")
	case drains && !c.Delete:
		return errors.New("drain deletes all mail of the users: if it may, add --delete")
	case c.Delete && !drains && c.Work != "all":
		return fmt.Errorf("%s deletes nothing: leave --delete out, or choose --work drain", c.Work)
	case c.Duration <= 0 || c.Noop <= 0 || c.Timeout <= 0 || c.Ramp <= 0 || c.Connections < 0 || c.PID < 0:
		return errors.New("--duration, --noop, --timeout, --ramp, --connections and --pid must be above zero")
	case c.Ramp > maxRamp:
		return fmt.Errorf("--ramp is at most %d", maxRamp)
	}
	return nil
}

// maxRamp bounds the connections opened a second: beyond it the queue of a
// listening socket is measured, and nothing else.
const maxRamp = 20_000

// Run measures.
func (c *benchCmd) Run(ctx context.Context, t *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	users, err := c.readUsers(ctx)
	if err != nil {
		return notRun{err}
	}
	if c.Connections > len(users) {
		return &exitError{exitUsage, fmt.Errorf("--connections %d needs as many users: a maildrop takes one session at a time, and there are %d", c.Connections, len(users))}
	}
	target, err := c.target(ctx)
	if err != nil {
		return notRun{err}
	}
	config := load.Config{
		Target: target, Users: users, Duration: c.Duration, Pipeline: c.Pipeline, Ramp: c.Ramp, Noop: c.Noop,
		Warm: min(time.Second, c.Duration/10),
	}
	if c.PID > 0 {
		config.Server = func() (load.Usage, error) { return load.Tree(c.PID) }
		if _, err := config.Server(); err != nil {
			return notRun{err}
		}
	}
	server, err := target.Probe(ctx, users[0])
	switch {
	case err != nil && load.Temporary(err):
		return &exitError{exitTryAgain, fmt.Errorf("cannot measure %s: %w", target.Addr, err)}
	case err != nil:
		return notRun{fmt.Errorf("cannot measure %s: %w", target.Addr, err)}
	case c.Pipeline && !server.Pipelining:
		return notRun{errors.New("the server does not announce PIPELINING: leave --pipeline out")}
	}
	return c.measure(ctx, t, config, server)
}

// measure does one work after the other.
func (c *benchCmd) measure(ctx context.Context, t *terminal, config load.Config, server load.Server) error {
	report := newBenchReport(c, t)
	report.started(config.Target.Addr, server)
	failed, passing := false, true
	for _, work := range c.works() {
		config.Work = work
		config.Connections = c.connections(work, len(config.Users))
		config.Every, config.Progress = report.begin(config)
		result, err := load.Run(ctx, config)
		report.end()
		if err != nil {
			return err
		}
		report.result(result)
		if result.Failed > 0 {
			failed = true
			passing = passing && result.Temporary()
		}
		if ctx.Err() != nil {
			break
		}
	}
	switch {
	case failed && passing:
		return &exitError{exitTryAgain, errReported}
	case failed:
		return errReported
	}
	return nil
}

func (c *benchCmd) works() []load.Work {
	if c.Work != "all" {
		return []load.Work{load.Work(c.Work)}
	}
	var works []load.Work
	for _, w := range load.Works {
		if w != load.Drain || c.Delete {
			works = append(works, w)
		}
	}
	return works
}

// usualConnections is how many there are where nobody says how many.
const usualConnections = 8

func (c *benchCmd) connections(work load.Work, users int) int {
	switch {
	case c.Connections > 0:
		return c.Connections
	case work == load.Idle:
		return users
	}
	return min(users, usualConnections)
}

// target looks the server up, and refuses one that is elsewhere unless it may
// be loaded.
func (c *benchCmd) target(ctx context.Context) (*load.Target, error) {
	trust, err := c.trust()
	if err != nil {
		return nil, err
	}
	if c.Resume {
		trust.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	target := &load.Target{Addr: c.address(c.Addr), TLS: c.TLS, TLSConfig: trust, Mechanism: strings.ToUpper(c.Mechanism), Timeout: c.Timeout}
	if strings.EqualFold(c.Mechanism, load.AnyMechanism) {
		target.Mechanism = load.AnyMechanism
	}
	if err := target.Resolve(ctx); err != nil {
		return nil, err
	}
	if !target.Local() && !c.Yes {
		return nil, fmt.Errorf("%s is not on this machine, and this is load: it takes from everybody who uses that server, and may be taken for an attack. If the server is yours, or its owner has agreed, add --yes", target.Addr)
	}
	return target, nil
}

// maxUsersFile bounds the size of a file of users, in octets: a million of
// them.
const maxUsersFile = 64 << 20

func (c *benchCmd) readUsers(ctx context.Context) ([]load.User, error) {
	if c.Users == "" {
		password, err := c.password(ctx)
		return []load.User{{Name: c.User, Password: password}}, err
	}
	text, _, err := directory.ReadRegular(c.Users, maxUsersFile)
	if err != nil {
		return nil, err
	}
	var users []load.User
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, password, found := strings.Cut(line, ":")
		if !found || name == "" || password == "" {
			return nil, fmt.Errorf("%s:%d: want NAME:PASSWORD", c.Users, n)
		}
		users = append(users, load.User{Name: name, Password: password})
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s names no user: it has lines NAME:PASSWORD", c.Users)
	}
	return users, nil
}
