package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/poplin-mail/poplin/internal/load"
)

// benchReport tells how a measurement goes: a bar on a terminal, elsewhere a
// line a second, or events in JSON.
type benchReport struct {
	c    *benchCmd
	t    *terminal
	p    palette
	json *json.Encoder // nil: for people

	work load.Work
	bars *mpb.Progress // nil: no terminal, or no work
	bar  *mpb.Bar
	last atomic.Pointer[load.Progress]
}

func newBenchReport(c *benchCmd, t *terminal) *benchReport {
	r := &benchReport{c: c, t: t, p: paletteFor(t.out)}
	if c.JSON {
		r.json = json.NewEncoder(t.out)
	}
	return r
}

func (r *benchReport) line(format string, args ...any) { fmt.Fprintf(r.t.out, format+"\n", args...) }

// started tells what is measured. An empty maildrop is worth a word: whoever
// retrieves from one measures nothing.
func (r *benchReport) started(addr string, s load.Server) {
	if r.json != nil {
		r.json.Encode(struct {
			Event string `json:"event"`
			Addr  string `json:"addr"`
			load.Server
		}{"started", addr, s})
		return
	}
	how := s.TLS
	if how == "" {
		how = "clear text"
	}
	r.line("%s (%s), %s; the first user has %s, %s", r.p.bold(addr), s.Name, how, counted(s.Messages, "message"), size(s.Octets))
	if s.Messages == 0 && r.c.Work != string(load.Login) && r.c.Work != string(load.Idle) {
		fmt.Fprintln(r.t.err, "poplin: the maildrop of the first user is empty: there may be nothing to measure")
	}
}

// begin begins with a work, and says how often it wants to hear how it goes.
func (r *benchReport) begin(config load.Config) (every time.Duration, progress func(load.Progress)) {
	r.work = config.Work
	r.last.Store(&load.Progress{})
	switch {
	case r.json != nil:
		return time.Second, r.event
	case !r.p.terminal:
		return time.Second, func(p load.Progress) { r.line("  %s", r.state(p)) }
	}
	r.bars = mpb.New(mpb.WithOutput(r.t.out), mpb.WithWidth(min(24, r.p.width/4)))
	r.bar = r.bars.New(config.Duration.Milliseconds(), mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("─").Rbound(""),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(padTo(string(r.work), 9))),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + cutTo(r.state(*r.last.Load()), r.p.width*3/4-12) })))
	return 200 * time.Millisecond, func(p load.Progress) {
		r.last.Store(&p)
		r.bar.SetCurrent(min(p.Elapsed, config.Duration-1).Milliseconds())
	}
}

// end takes the bar away.
func (r *benchReport) end() {
	if r.bars != nil {
		r.bar.Abort(true)
		r.bars.Wait()
		r.bars = nil
	}
}

// state says in a line how it goes.
func (r *benchReport) state(p load.Progress) string {
	var text string
	switch {
	case p.Elapsed == 0:
		text = fmt.Sprintf("warming up, %s", counted(int(p.Live), "connection"))
	case r.work == load.Idle:
		text = fmt.Sprintf("%3.0f s  %s, NOOP p99 %s", p.Elapsed.Seconds(), counted(int(p.Live), "connection"), millis(ms(p.P99)))
	default:
		text = fmt.Sprintf("%3.0f s  %s %s/s", p.Elapsed.Seconds(), rate(p.PerSecond), plural(r.work))
		if p.Octets > 0 {
			text += fmt.Sprintf("  %.1f MB/s", p.Octets/1e6)
		}
		text += fmt.Sprintf("  p50 %s  p99 %s", millis(ms(p.P50)), millis(ms(p.P99)))
	}
	if p.Failed > 0 {
		text += "  " + counted(p.Failed, "failure")
	}
	return text
}

// plural names what is counted in a work.
func plural(w load.Work) string {
	switch w {
	case load.Login:
		return "logins"
	case load.Poll:
		return "polls"
	case load.Top:
		return "headers"
	case load.Idle:
		return "NOOPs"
	}
	return "messages"
}

// event prints how it goes as JSON.
func (r *benchReport) event(p load.Progress) {
	r.json.Encode(struct {
		Event      string    `json:"event"`
		Work       load.Work `json:"work"`
		Seconds    float64   `json:"seconds"`
		Live       int64     `json:"connections"`
		Operations int64     `json:"operations"`
		PerSecond  float64   `json:"operations_per_second"`
		Octets     float64   `json:"octets_per_second"`
		P50        float64   `json:"p50"`
		P99        float64   `json:"p99"`
		Failed     int       `json:"failed"`
	}{"progress", r.work, p.Elapsed.Seconds(), p.Live, p.Operations, p.PerSecond, p.Octets, ms(p.P50), ms(p.P99), p.Failed})
}

// result prints what was measured.
func (r *benchReport) result(x *load.Result) {
	if r.json != nil {
		r.json.Encode(struct {
			Event string `json:"event"`
			*load.Result
		}{"result", x})
		return
	}
	how := ""
	if x.Pipelined && x.Operation == "message" {
		how = ", pipelined"
	}
	if x.Interrupted {
		how += ", interrupted"
	}
	r.line("")
	r.line("%s  %s%s, %.1f s", r.p.bold(padTo(string(x.Work), 8)), counted(x.Connections, "connection"), how, x.Seconds)
	if x.Work == load.Idle {
		r.line("  kept        %s of %s that logged in", grouped(x.Kept), grouped(x.Opened))
	}
	r.line("  %-10s  %s, %s/s", plural(x.Work), grouped(x.Operations), rate(x.OperationsPerSecond))
	if x.Octets > 0 {
		r.line("  octets      %s, %.1f MB/s", grouped(x.Octets), x.OctetsPerSecond/1e6)
	}
	if x.Operation == "message" {
		r.line("  sessions    %s", grouped(x.Sessions))
	}
	if x.Deleted > 0 {
		r.line("  deleted     %s", grouped(x.Deleted))
	}
	r.latencies(x.Latency)
	if x.ServerCPU != nil {
		r.server(x)
	}
	if x.Work != load.Idle {
		r.line("  %s", r.p.faint(fmt.Sprintf("poplin bench itself: %.0f µs of processor time a %s, %.1f processors", x.ClientCPU, x.Operation, x.ClientCores)))
	}
	if x.OtherSize > 0 {
		r.line("  %s not as long as LIST says", counted(int(x.OtherSize), "message"))
	}
	for _, f := range x.Failures {
		r.line("  %s", r.p.red(fmt.Sprintf("%s: %s, the first: %s", counted(f.Count, "session")+" failed", f.Kind, f.Sample)))
	}
}

func (r *benchReport) latencies(l load.Latencies) {
	r.line("  %s", r.p.faint(fmt.Sprintf("%-12s%12s%12s%12s%12s", "", "p50", "p90", "p99", "max")))
	for _, row := range []struct {
		name string
		*load.Latency
	}{{"connect", l.Connect}, {"login", l.Login}, {"first octet", l.FirstOctet}, {"session", l.Session}, {"NOOP", l.Noop}} {
		if row.Latency != nil {
			r.line("  %-12s%12s%12s%12s%12s", row.name, millis(row.P50), millis(row.P90), millis(row.P99), millis(row.Max))
		}
	}
}

// server tells what the server has used.
func (r *benchReport) server(x *load.Result) {
	var parts []string
	if x.Work != load.Idle {
		parts = append(parts, fmt.Sprintf("%.0f µs of processor time a %s", *x.ServerCPU, x.Operation))
	}
	if x.MemoryEach > 0 { // with few connections it may be anything
		parts = append(parts, fmt.Sprintf("%.1f kB a connection", float64(x.MemoryEach)/1000))
	}
	if x.ServerMemory > 0 {
		parts = append(parts, megabytes(x.ServerMemory)+" in all")
	}
	r.line("  server      %s", strings.Join(parts, ", "))
}

// millis writes milliseconds, with the digits that mean something.
func millis(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return grouped(int64(ms+0.5)) + " ms"
}

// rate writes a number a second likewise.
func rate(n float64) string {
	if n < 100 {
		return fmt.Sprintf("%.1f", n)
	}
	return grouped(int64(n + 0.5))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
