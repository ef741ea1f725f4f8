package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/poplin-mail/poplin/internal/collect"
	"github.com/poplin-mail/poplin/internal/fetch"
	"github.com/poplin-mail/poplin/pop3"
)

// fetchReport tells a person, or a program, how fetching goes: bars and
// colours on a terminal, and elsewhere a line for each account that had
// something. Text that comes from servers is made fit for a terminal.
type fetchReport struct {
	c *fetchRunCmd
	t *terminal
	p palette

	mu   sync.Mutex
	json *json.Encoder // nil: for people
	bars *mpb.Progress // nil: no terminal
	stop chan struct{}
	wait sync.WaitGroup
}

func newFetchReport(c *fetchRunCmd, t *terminal, jobs []*collect.Job) *fetchReport {
	r := &fetchReport{c: c, t: t, p: paletteFor(t.out), stop: make(chan struct{})}
	switch {
	case c.JSON:
		r.json = json.NewEncoder(t.out)
		for _, j := range jobs {
			j.Watch.Event = r.event
		}
	case r.p.terminal && !c.Quiet && !c.Daemon && !c.DryRun:
		r.bars = mpb.New(mpb.WithOutput(t.out), mpb.WithWidth(min(30, r.p.width/3)), mpb.WithRefreshRate(100*time.Millisecond))
		for _, j := range jobs {
			r.bar(j)
		}
	}
	return r
}

// event prints what happened.
func (r *fetchReport) event(e fetch.Event) {
	e.Text = pop3.Sanitize(e.Text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.json.Encode(e)
}

// bar follows an account on a terminal.
func (r *fetchReport) bar(j *collect.Job) {
	w := j.Watch
	stage := func(decor.Statistics) string {
		if text := w.Stage.Load(); text != nil {
			return *text
		}
		return "waiting"
	}
	count := func(decor.Statistics) string {
		return fmt.Sprintf(" %d/%d", w.Safe.Load(), w.Messages.Whole.Load())
	}
	bar := r.bars.New(0, mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("─").Rbound(""),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(padTo(cutTo(j.Name, 16), 16)+" "), decor.Any(stage, decor.WC{W: 12, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(count), decor.CountersKiloByte("  % .1f/% .1f"), decor.Name("  "),
			decor.AverageSpeed(decor.SizeB1000(0), "% .1f"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
	r.wait.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			bar.SetTotal(w.Octets.Whole.Load(), false)
			bar.SetCurrent(w.Octets.Done.Load())
			select {
			case <-tick.C:
			case <-r.stop:
				bar.Abort(true)
				return
			}
		}
	})
}

// ended tells what came of an account.
func (r *fetchReport) ended(j *collect.Job, result collect.Result) {
	if r.json != nil {
		result.Error = pop3.Sanitize(result.Error)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.json.Encode(struct {
			Account string `json:"account"`
			Event   string `json:"event"`
			collect.Result
		}{j.Name, "ended", result})
		return
	}
	if r.bars != nil {
		return // finish tells it, below the bars
	}
	r.print(j.Name, result)
}

// finish tells what came of all, where there were bars.
func (r *fetchReport) finish(results []collect.Result) {
	if r.bars == nil {
		return
	}
	close(r.stop)
	r.wait.Wait()
	r.bars.Wait()
	for _, result := range results {
		r.print(result.Account, result)
	}
}

// print prints lines for an account.
func (r *fetchReport) print(name string, result collect.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range result.Plan {
		r.step(name, s)
	}
	worth := result.Retrieved > 0 || result.Deleted > 0 || r.p.terminal && !r.c.Daemon
	if worth && !r.c.Quiet && !r.c.DryRun {
		fmt.Fprintf(r.t.out, "%s %s\n", r.p.bold(name+":"), summaryLine(result))
	}
	for _, f := range result.Failed {
		if f.UID == "" { // the reason says which one it is
			fmt.Fprintf(r.t.err, "poplin: %s: %s\n", name, pop3.Sanitize(f.Reason))
			continue
		}
		where := f.Target
		if where == "" {
			where = "the server"
		}
		fmt.Fprintf(r.t.err, "poplin: %s: message %s, %s: %s\n", name, f.UID, pop3.Sanitize(where), pop3.Sanitize(f.Reason))
	}
	for _, w := range result.Warnings {
		if !r.c.Quiet {
			fmt.Fprintf(r.t.err, "poplin: %s: warning: %s\n", name, pop3.Sanitize(w))
		}
	}
	if result.Err != nil {
		for line := range strings.Lines(result.Error) {
			fmt.Fprintf(r.t.err, "poplin: %s: %s\n", name, pop3.Sanitize(strings.TrimSpace(line)))
		}
	}
}

// step prints what would be done with a message.
func (r *fetchReport) step(name string, s fetch.Step) {
	what := "would stay"
	switch {
	case s.Retrieve && s.Delete:
		what = "would be fetched, and deleted on the server"
	case s.Retrieve:
		what = "would be fetched"
	case s.Delete:
		what = "would be deleted on the server"
	}
	if s.Why != "" {
		what += ": " + s.Why
	}
	fmt.Fprintf(r.t.out, "%s: message %d, %s octets, %s %s\n", name, s.Number, grouped(s.Octets), s.UID, what)
}

func summaryLine(result collect.Result) string {
	if result.Report == nil {
		return ""
	}
	parts := []string{fmt.Sprintf("%s new, %s", counted(result.Retrieved, "message"), size(result.Octets))}
	if result.Deleted > 0 {
		parts = append(parts, fmt.Sprintf("%d deleted on the server", result.Deleted))
	}
	if n := result.Retrieved - result.Delivered; n > 0 {
		parts = append(parts, fmt.Sprintf("%d not delivered everywhere", n))
	}
	if result.Skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d left out", result.Skipped))
	}
	return strings.Join(parts, ", ") + fmt.Sprintf(", %.1f s", result.Took.Seconds())
}

// counted writes a number of things.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return grouped(int64(n)) + " " + what
}

// size writes octets for people.
func size(octets int64) string {
	if octets < 100_000 {
		return grouped(octets) + " octets"
	}
	return megabytes(octets)
}
