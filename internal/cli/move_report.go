package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/poplin-mail/poplin/internal/move"
	"github.com/poplin-mail/poplin/maildrop"
	"github.com/poplin-mail/poplin/pop3"
)

// moveReport tells how moving goes: a line for each maildrop, above a bar where
// there is a terminal; or JSON.
type moveReport struct {
	c    *moveCmd
	t    *terminal
	p    palette
	out  io.Writer
	json *json.Encoder // nil: for people
	bars *mpb.Progress // nil: no terminal
	stop chan struct{}
	wait sync.WaitGroup

	mu      sync.Mutex
	watches map[*move.Watch]string // of those under way
	octets  int64                  // read for maildrops that ended
	sum     moveSummary
	inUse   int
	part    int // ended while the source was emptied
}

// moveSummary is what came of all.
type moveSummary struct {
	Maildrops int   `json:"maildrops"`
	Done      int   `json:"done"`
	Failed    int   `json:"failed"` // those in use too
	NotBegun  int   `json:"not_begun"`
	Messages  int   `json:"messages"`
	Octets    int64 `json:"octets"`
	Copied    int   `json:"copied"`
	Removed   int   `json:"removed"`
	Left      int   `json:"left"`
}

func newMoveReport(c *moveCmd, t *terminal, maildrops int) *moveReport {
	r := &moveReport{c: c, t: t, p: paletteFor(t.out), out: t.out, stop: make(chan struct{}), watches: make(map[*move.Watch]string)}
	r.sum.Maildrops = maildrops
	switch {
	case c.JSON:
		r.json = json.NewEncoder(t.out)
		r.json.SetEscapeHTML(false)
	case r.p.terminal && !c.Quiet:
		r.bars = mpb.New(mpb.WithOutput(t.out), mpb.WithWidth(min(30, r.p.width/3)), mpb.WithRefreshRate(100*time.Millisecond))
		r.out = r.bars // it writes above the bar
		r.bar()
	}
	return r
}

// bar shows how many maildrops are done, and what is under way.
func (r *moveReport) bar() {
	bar := r.bars.New(int64(r.sum.Maildrops), mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("─").Rbound(""),
		mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + cutTo(r.state(), r.p.width*2/3-2) })))
	r.wait.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			r.mu.Lock()
			done := r.sum.Done + r.sum.Failed
			r.mu.Unlock()
			bar.SetCurrent(min(int64(done), int64(r.sum.Maildrops)-1)) // until finish
			select {
			case <-tick.C:
			case <-r.stop:
				bar.Abort(true)
				return
			}
		}
	})
}

// state says in a line how it goes.
func (r *moveReport) state() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf("%d/%d", r.sum.Done+r.sum.Failed, r.sum.Maildrops)
	octets := r.octets
	var names []string
	for w, user := range r.watches {
		done, whole := w.Octets()
		octets += done
		name := pop3.Sanitize(user) + " " + w.Stage()
		if whole > 0 {
			name += fmt.Sprintf(" %d%%", min(100, 100*done/whole))
		}
		if len(names) == 0 || name < names[0] {
			names = []string{name}
		}
	}
	return text + "  " + megabytes(octets) + " read  " + strings.Join(names, "")
}

// begin gives what a maildrop is watched by.
func (r *moveReport) begin(user string) *move.Watch {
	w := new(move.Watch)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watches[w] = user
	return w
}

// ended tells what came of a maildrop.
func (r *moveReport) ended(w *move.Watch, m moved) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.watches, w)
	done, _ := w.Octets()
	r.octets += done
	r.sum.Messages += m.Messages
	r.sum.Octets += m.Octets
	r.sum.Copied += m.Copied
	r.sum.Removed += m.Removed
	r.sum.Left += m.Left
	if m.err == nil {
		r.sum.Done++
	} else {
		r.sum.Failed++
	}
	if errors.Is(m.err, maildrop.ErrInUse) {
		r.inUse++
	}
	if m.part {
		r.part++
	}
	switch {
	case r.json != nil:
		r.json.Encode(m)
	case m.err != nil:
		r.failed(m)
	case !r.c.Quiet:
		fmt.Fprintf(r.out, "%s %s\n", r.p.bold(pop3.Sanitize(m.User)+":"), r.line(m))
	}
}

// mostFailed is how many messages of a maildrop are named that failed.
const mostFailed = 10

// failed says what is wrong with a maildrop.
func (r *moveReport) failed(m moved) {
	out := r.t.err
	if r.bars != nil {
		out = r.out // or the bar would be torn
	}
	name := pop3.Sanitize(m.User)
	for _, f := range m.Failed[:min(len(m.Failed), mostFailed)] {
		fmt.Fprintf(out, "poplin: %s: message %s: %s\n", name, pop3.Sanitize(f.UID), pop3.Sanitize(f.Error))
	}
	if n := len(m.Failed) - mostFailed; n > 0 {
		fmt.Fprintf(out, "poplin: %s: %s more\n", name, counted(n, "message"))
	}
	text := pop3.Sanitize(m.Error)
	if len(m.Failed) > 0 {
		text = fmt.Sprintf("%d of %s not brought over: nothing was removed", len(m.Failed), counted(m.Messages, "message"))
	}
	fmt.Fprintf(out, "poplin: %s: %s\n", name, r.p.red(text))
}

// line says what was done with a maildrop.
func (r *moveReport) line(m moved) string {
	text := fmt.Sprintf("%s, %s: ", counted(m.Messages, "message"), size(m.Octets))
	if r.c.DryRun {
		text += fmt.Sprintf("%d would be copied", m.Copied)
	} else {
		text += fmt.Sprintf("%d copied", m.Copied)
	}
	if m.There > 0 {
		text += fmt.Sprintf(", %d there before", m.There)
		switch compared := m.Compared - m.Copied; {
		case compared == m.There:
			text += " and compared"
		case compared > 0:
			text += fmt.Sprintf(", %d of them compared", compared)
		}
	}
	if m.Gone > 0 {
		text += fmt.Sprintf(", %d gone from the source and so from the destination", m.Gone)
	}
	if m.Removed > 0 {
		text += fmt.Sprintf(", %d removed from the source", m.Removed)
	}
	if m.Dropped > 0 {
		text += fmt.Sprintf(", %d gone from the destination and so from the source", m.Dropped)
	}
	if m.Removed > 0 && m.Left > 0 {
		text += fmt.Sprintf(", %d came meanwhile: run this again", m.Left)
	}
	return text + fmt.Sprintf(", %.1f s", m.Seconds)
}

// finish tells what came of all. Live says that users still see the source.
func (r *moveReport) finish(live bool) error {
	if r.bars != nil {
		close(r.stop)
		r.wait.Wait()
		r.bars.Wait()
	}
	r.sum.NotBegun = r.sum.Maildrops - r.sum.Done - r.sum.Failed
	switch {
	case r.json != nil:
		if err := r.json.Encode(struct {
			Summary moveSummary `json:"summary"`
		}{r.sum}); err != nil {
			return err
		}
	case !r.c.Quiet:
		r.summary(live)
	}
	switch failed := r.sum.Failed + r.sum.NotBegun; {
	case failed == 0:
		return nil
	case failed == r.inUse:
		return &exitError{exitTryAgain, errReported}
	}
	return errReported
}

func (r *moveReport) summary(live bool) {
	s := &r.sum
	text := fmt.Sprintf("%s, %s, %s: %d copied, %d removed from the source", counted(s.Maildrops, "maildrop"), counted(s.Messages, "message"), size(s.Octets), s.Copied, s.Removed)
	if r.c.DryRun {
		text = fmt.Sprintf("%s, %s, %s: %d would be copied", counted(s.Maildrops, "maildrop"), counted(s.Messages, "message"), size(s.Octets), s.Copied)
	}
	if s.Failed > 0 {
		text += fmt.Sprintf("; %d failed", s.Failed)
		if r.inUse > 0 {
			text += fmt.Sprintf(", %d of these as they are in use", r.inUse)
		}
		if r.part > 0 {
			text += fmt.Sprintf(", %d of these while the source was emptied, from which more may be removed", r.part)
		}
	}
	if s.NotBegun > 0 {
		text += fmt.Sprintf("; %d not begun", s.NotBegun)
	}
	fmt.Fprintln(r.t.out, text)
	if live && s.Removed == 0 && s.Failed+s.NotBegun == 0 && !r.c.DryRun {
		fmt.Fprintf(r.t.out, "Users still see the source, which stays as it is. When all of them are copied: stop the server, run this once more, set maildrops.store = %q, start it, and run this again.\n", r.c.To)
	}
}
