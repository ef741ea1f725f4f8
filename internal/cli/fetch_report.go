package cli

import (
	"cmp"
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

	left map[string][2]int // by account: the messages given up and put off that were told

	mu   sync.Mutex
	json *json.Encoder // nil: for people
	bars *mpb.Progress // nil: no terminal
	stop chan struct{}
	wait sync.WaitGroup
}

func newFetchReport(c *fetchRunCmd, t *terminal, jobs []*collect.Job) *fetchReport {
	r := &fetchReport{c: c, t: t, p: paletteFor(t.out), stop: make(chan struct{}), left: make(map[string][2]int)}
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
		r.failed(name, f)
	}
	r.leftOut(name, result)
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

// failed prints why a message is not delivered.
func (r *fetchReport) failed(name string, f fetch.FailedMessage) {
	text := pop3.Sanitize(f.Reason)
	if f.UID != "" { // otherwise the reason says which one it is
		text = fmt.Sprintf("message %s, %s: %s", f.UID, pop3.Sanitize(cmp.Or(f.Target, "the server")), text)
	}
	if f.GivenUp {
		text += "; it is given up: --retry has it tried again"
	}
	fmt.Fprintf(r.t.err, "poplin: %s: %s\n", name, text)
}

// mostNamed is how many messages that were given up are named.
const mostNamed = 10

// leftOut prints what was not tried in this run. A daemon says it when it
// changes.
func (r *fetchReport) leftOut(name string, result collect.Result) {
	if result.Report == nil {
		return
	}
	counts := [2]int{len(result.GivenUp), len(result.Waiting)}
	if r.c.Daemon && r.left[name] == counts {
		return
	}
	r.left[name] = counts
	for _, f := range result.GivenUp[:min(len(result.GivenUp), mostNamed)] {
		r.failed(name, f)
	}
	if n := counts[0] - mostNamed; n > 0 {
		fmt.Fprintf(r.t.err, "poplin: %s: %s more are given up\n", name, counted(n, "message"))
	}
	if counts[1] > 0 {
		f := result.Waiting[0]
		fmt.Fprintf(r.t.err, "poplin: %s: %s put off, and tried again within a day; message %s, %s: %s\n", name, counted(counts[1], "message"), f.UID,
			pop3.Sanitize(cmp.Or(f.Target, "the server")), pop3.Sanitize(f.Reason))
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
