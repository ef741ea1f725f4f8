// Package rounds measures POP3 servers in turns: Measure starts all of them and
// runs each case on each, round by round, so that what else the machine does
// meets all alike.
package rounds

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/load"
)

// Case is what is asked of a server.
type Case struct {
	Name     string
	Work     load.Work
	Group    string // of users, whose maildrops it is about
	TLS      bool
	Pipeline bool
}

// Cases are all. Idle comes first, since other work leaves memory behind. Drain
// comes with full maildrops each time.
var Cases = []Case{
	{Name: "idle", Work: load.Idle, Group: "idle"},
	{Name: "idle, TLS", Work: load.Idle, Group: "idle", TLS: true},
	{Name: "login", Work: load.Login, Group: "ten"},
	{Name: "login, TLS", Work: load.Login, Group: "ten", TLS: true},
	{Name: "poll of 10", Work: load.Poll, Group: "ten"},
	{Name: "poll of 1,000", Work: load.Poll, Group: "thousand"},
	{Name: "poll of 10,000", Work: load.Poll, Group: "many"},
	{Name: "poll of 100,000", Work: load.Poll, Group: "most"},
	{Name: "RETR 10 kB, lockstep", Work: load.Retrieve, Group: "mail"},
	{Name: "RETR 10 kB, pipelined", Work: load.Retrieve, Group: "mail", Pipeline: true},
	{Name: "RETR 10 kB, pipelined, TLS", Work: load.Retrieve, Group: "mail", TLS: true, Pipeline: true},
	{Name: "RETR 10 MB, TLS", Work: load.Retrieve, Group: "large", TLS: true},
	{Name: "TOP 0, pipelined", Work: load.Top, Group: "mail", Pipeline: true},
	{Name: "drain 10 kB, pipelined", Work: load.Drain, Group: "full", Pipeline: true},
}

// groups are the users, and what is in the maildrop of each: messages, and
// their octets as they are stored.
var groups = map[string]struct{ users, messages, octets int }{
	"ten": {4, 10, 10_000}, "thousand": {4, 1000, 10_000}, "many": {2, 10_000, 10_000}, "most": {1, 100_000, 1000},
	"mail": {4, 100, 10_000}, "large": {2, 10, 10_000_000}, "full": {4, 2000, 10_000}, "idle": {100, 0, 0},
}

// Options say how to measure.
type Options struct {
	Dir    string
	Rounds int
	Span   time.Duration
	Only   string       // cases whose name holds this
	Each   func(Result) // as soon as it is there
}

// Result is what a server did in a case: medians of the rounds.
type Result struct {
	Case, Server string
	Idle         bool
	Rate         float64 // sessions, or messages, a second
	P50, P99     float64 // ms of a session, or of the first octet of a message
	CPU          float64 // of the server, µs for each of them
	Memory       float64 // kB an idle connection
}

func (r Result) String() string {
	if r.Idle {
		return fmt.Sprintf("%s, %s: %.0f kB a connection", r.Case, r.Server, r.Memory)
	}
	return fmt.Sprintf("%s, %s: %.0f/s, %.0f µs", r.Case, r.Server, r.Rate, r.CPU)
}

// Measure measures all cases on each kind of server.
func Measure(ctx context.Context, kinds []Kind, opts Options) (all []Result, err error) {
	trust, err := certificate(opts.Dir)
	if err != nil {
		return nil, err
	}
	var servers []*running
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.end())
		}
	}()
	for i, kind := range kinds {
		s, err := launch(ctx, kind, opts.Dir, i)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.Name, err)
		}
		servers = append(servers, s)
	}
	for _, c := range Cases {
		if !strings.Contains(c.Name, opts.Only) {
			continue
		}
		measured := make([][]*load.Result, len(servers))
		for n := range opts.Rounds + 1 {
			for turn := range servers {
				i := (turn + n) % len(servers)
				if n == 0 {
					if err := servers[i].prepare(ctx, c, trust); err != nil {
						return nil, fmt.Errorf("%s, %s: %w", c.Name, kinds[i].Name, servers[i].explained(err))
					}
					continue
				}
				x, err := servers[i].measure(ctx, c, trust, opts.Span)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", c.Name, kinds[i].Name, servers[i].explained(err))
				}
				measured[i] = append(measured[i], x)
			}
		}
		for i, kind := range kinds {
			r := summary(measured[i])
			r.Case, r.Server = c.Name, kind.Name
			opts.Each(r)
			all = append(all, r)
		}
	}
	return all, nil
}

// prepare has the server see all maildrops of a case, for its caches and
// indexes.
func (s *running) prepare(ctx context.Context, c Case, trust *tls.Config) error {
	config, err := s.config(ctx, c, trust)
	if err != nil || c.Work == load.Drain || c.Work == load.Idle {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	config.Work, config.Duration = load.Poll, time.Hour
	config.Every, config.Progress = 10*time.Millisecond, func(p load.Progress) {
		if p.Failed > 0 || p.Operations >= int64(4*config.Connections) {
			cancel()
		}
	}
	x, err := load.Run(ctx, config)
	if err == nil && x.Failed > 0 {
		err = errors.New(x.Failures[0].Sample)
	}
	return err
}

// config gives what all rounds of a case have alike.
func (s *running) config(ctx context.Context, c Case, trust *tls.Config) (load.Config, error) {
	target := &load.Target{Addr: s.clear, TLS: load.None, Mechanism: load.MechanismUser, Timeout: time.Minute, TLSConfig: trust}
	if c.TLS {
		target.Addr, target.TLS = s.tls, load.Implicit
	}
	config := load.Config{
		Target: target, Work: c.Work, Pipeline: c.Pipeline, Ramp: 500, Noop: time.Minute,
		Server: func() (load.Usage, error) { return load.Tree(s.cmd.Process.Pid) },
	}
	for i := range groups[c.Group].users {
		config.Users = append(config.Users, load.User{Name: userName(c.Group, i), Password: password})
	}
	config.Connections = len(config.Users)
	return config, target.Resolve(ctx)
}

// measure measures one round.
func (s *running) measure(ctx context.Context, c Case, trust *tls.Config, span time.Duration) (*load.Result, error) {
	config, err := s.config(ctx, c, trust)
	if err != nil {
		return nil, err
	}
	config.Duration, config.Warm = span, span/10
	if c.Work == load.Drain {
		config.Duration = time.Minute
		if err := s.fill(c.Group); err != nil {
			return nil, err
		}
	}
	x, err := load.Run(ctx, config)
	if c.Work == load.Idle && err == nil && x.Kept > 0 {
		// Not what this round has added: some servers keep their processes.
		x.MemoryEach = (x.ServerMemory - s.fresh) / x.Kept
	}
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case x.Failed > 0:
		return nil, fmt.Errorf("%d sessions failed: %s", x.Failed, x.Failures[0].Sample)
	case c.Work == load.Idle && x.Kept != int64(config.Connections):
		return nil, fmt.Errorf("of %d connections %d were kept", config.Connections, x.Kept)
	case x.Operations == 0:
		return nil, errors.New("nothing was done within the time: take more")
	}
	return x, nil
}

// summary gives the medians.
func summary(rounds []*load.Result) Result {
	of := func(value func(x *load.Result) float64) float64 {
		var values []float64
		for _, x := range rounds {
			values = append(values, value(x))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	latency := func(x *load.Result) *load.Latency {
		switch {
		case x.Work == load.Idle:
			return x.Latency.Noop
		case x.Operation == "message":
			return x.Latency.FirstOctet
		}
		return x.Latency.Session
	}
	return Result{
		Idle:   rounds[0].Work == load.Idle,
		Rate:   of(func(x *load.Result) float64 { return x.OperationsPerSecond }),
		P50:    of(func(x *load.Result) float64 { return latency(x).P50 }),
		P99:    of(func(x *load.Result) float64 { return latency(x).P99 }),
		CPU:    of(func(x *load.Result) float64 { return *x.ServerCPU }),
		Memory: of(func(x *load.Result) float64 { return float64(x.MemoryEach) / 1000 }),
	}
}
