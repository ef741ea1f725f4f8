package load

import (
	"context"
	"sync/atomic"
	"time"
)

// tally is what the connections count. But for failures, which are counted
// from the first connection on, they count only while counting says so.
type tally struct {
	counting atomic.Bool

	sessions, received, octets atomic.Int64
	deleted, otherSize         atomic.Int64
	opened, live               atomic.Int64 // connections

	connect, login, first, session, noop histogram
	failures                             failures

	since  atomic.Int64  // when counting began, in ns of Unix; 0: not yet
	server Usage         // at that time
	client time.Duration // of processor time, at that time

	empty, full int64 // Idle: the server's memory without connections, and with all
}

// Progress is how it goes.
type Progress struct {
	Elapsed    time.Duration // since counting began; 0 before
	Live       int64         // connections that are logged in
	Operations int64         // sessions, messages or NOOPs
	PerSecond  float64       // of those, since the progress before
	Octets     float64       // a second, since the progress before
	P50, P99   time.Duration // of what the work is about, since counting began
	Failed     int
}

// Result is what was measured.
type Result struct {
	Work        Work    `json:"work"`
	Connections int     `json:"connections"`
	Pipelined   bool    `json:"pipelined"`
	Seconds     float64 `json:"seconds"`
	Interrupted bool    `json:"interrupted"` // before its time

	Operation           string  `json:"operation"` // what is counted: session, message or noop
	Operations          int64   `json:"operations"`
	OperationsPerSecond float64 `json:"operations_per_second"`
	Sessions            int64   `json:"sessions"` // that ended well
	Messages            int64   `json:"messages"` // that came whole
	Octets              int64   `json:"octets"`   // of those
	OctetsPerSecond     float64 `json:"octets_per_second"`
	Deleted             int64   `json:"deleted"`
	OtherSize           int64   `json:"size_differs"` // messages that are not as long as LIST says

	Opened int64 `json:"opened,omitempty"` // idle: connections that logged in
	Kept   int64 `json:"kept,omitempty"`   // idle: of those, how many stood at the end

	Latency  Latencies `json:"latency_ms"`
	Failed   int       `json:"failed"` // sessions
	Failures []Failure `json:"failures"`

	ServerCPU    *float64 `json:"server_cpu_us_per_operation,omitempty"`
	ServerMemory int64    `json:"server_memory,omitempty"` // octets, at the end; of what processes share, each has its part
	MemoryEach   int64    `json:"server_memory_per_connection,omitempty"`
	ClientCPU    float64  `json:"client_cpu_us_per_operation"`
	ClientCores  float64  `json:"client_cpus"` // how many processors this program kept busy
}

// Latencies tell how long things took. What does not occur in a work is nil.
type Latencies struct {
	Connect    *Latency `json:"connect,omitempty"`     // TCP, TLS, the greeting
	Login      *Latency `json:"login,omitempty"`       // USER to the reply to PASS
	FirstOctet *Latency `json:"first_octet,omitempty"` // RETR or TOP to the reply; pipelined: of a session's first
	Session    *Latency `json:"session,omitempty"`     // connect to the reply to QUIT
	Noop       *Latency `json:"noop,omitempty"`
}

// Temporary reports whether there were failures, all of which pass by
// themselves.
func (r *Result) Temporary() bool {
	for _, f := range r.Failures {
		if !f.Temporary {
			return false
		}
	}
	return len(r.Failures) > 0
}

// memory gives what the server has, where that is known.
func (r *run) memory() (int64, error) {
	if r.Server == nil {
		return 0, nil
	}
	u, err := r.Server()
	return u.Memory, err
}

// count begins to count.
func (r *run) count() (err error) {
	if r.Server != nil {
		if r.server, err = r.Server(); err != nil {
			return err
		}
	}
	r.client = own()
	r.since.Store(time.Now().UnixNano())
	r.counting.Store(true)
	return nil
}

// elapsed is how long it has counted.
func (t *tally) elapsed() time.Duration {
	since := t.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// operations gives what is counted in a work.
func (r *run) operations() (name string, n int64) {
	switch r.Work {
	case Top, Retrieve, Drain:
		return "message", r.received.Load()
	case Idle:
		return "noop", int64(r.noop.n.Load())
	}
	return "session", r.sessions.Load()
}

// subject is the histogram of what a work is about.
func (r *run) subject() *histogram {
	switch r.Work {
	case Top, Retrieve, Drain:
		return &r.first
	case Idle:
		return &r.noop
	}
	return &r.session
}

// watch calls Progress until stop is called.
func (r *run) watch() (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(r.Every)
		defer tick.Stop()
		before, operations, octets := time.Now(), int64(0), int64(0)
		for {
			select {
			case <-quit:
				return
			case now := <-tick.C:
				p := Progress{Elapsed: r.elapsed(), Live: r.live.Load(), Failed: r.failures.count(),
					P50: r.subject().quantile(0.5), P99: r.subject().quantile(0.99)}
				_, p.Operations = r.operations()
				total, span := r.octets.Load(), now.Sub(before).Seconds()
				p.PerSecond, p.Octets = float64(p.Operations-operations)/span, float64(total-octets)/span
				before, operations, octets = now, p.Operations, total
				r.Progress(p)
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// end stops counting and gives what was counted.
func (r *run) end(ctx context.Context) (*Result, error) {
	r.counting.Store(false)
	span := r.elapsed()
	client := own()
	x := &Result{
		Work: r.Work, Connections: r.Connections, Pipelined: r.Pipeline, Seconds: span.Seconds(), Interrupted: ctx.Err() != nil,
		Sessions: r.sessions.Load(), Messages: r.received.Load(), Octets: r.octets.Load(), Deleted: r.deleted.Load(),
		OtherSize: r.otherSize.Load(),
		Latency:   Latencies{r.connect.latency(), r.login.latency(), r.first.latency(), r.session.latency(), r.noop.latency()},
		Failed:    r.failures.count(), Failures: r.failures.list(),
	}
	if r.Work == Idle {
		x.Opened, x.Kept = r.opened.Load(), r.live.Load()
	}
	x.Operation, x.Operations = r.operations()
	x.OperationsPerSecond, x.OctetsPerSecond = float64(x.Operations)/span.Seconds(), float64(x.Octets)/span.Seconds()
	each := float64(max(x.Operations, 1))
	x.ClientCPU = micro(client-r.client) / each
	x.ClientCores = (client - r.client).Seconds() / span.Seconds()
	if r.Server == nil {
		return x, nil
	}
	server, err := r.Server()
	if err != nil {
		return nil, err
	}
	cpu := micro(server.CPU-r.server.CPU) / each
	x.ServerCPU, x.ServerMemory = &cpu, max(server.Memory, r.full)
	if x.Kept > 0 && r.full > 0 {
		x.MemoryEach = (r.full - r.empty) / x.Kept
	}
	return x, nil
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
