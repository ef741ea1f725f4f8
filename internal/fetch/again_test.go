package fetch

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/journal"
	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// noted writes to the journal what earlier runs would have.
func (b *bed) noted(records ...journal.Record) {
	b.Helper()
	j, err := journal.Open(disk.OS{}, b.State)
	if err == nil {
		err = j.Write(records...)
		j.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
}

// keys gives the messages that the journal knows.
func (b *bed) keys() (all []journal.Key) {
	b.Helper()
	j, err := journal.Open(disk.OS{}, b.State)
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	j.View(func(e *journal.Entry) { all = append(all, e.Key) })
	return all
}

// TestPassing: what a target does not take for now is put off, and said to be,
// and is tried again however often that was.
func TestPassing(t *testing.T) {
	b := newBed(t, "none")
	maildir := b.Targets[0]
	b.Targets[0] = refusing{maildir}
	mail := b.deliver(0, 3)
	for range tries {
		if r := b.must(); len(r.Failed) != 3 || r.Failed[0].GivenUp || len(r.Waiting) != 0 {
			t.Fatalf("the report is %+v", r)
		}
	}
	if r := b.must(); r.Retrieved != 0 || len(r.Failed) != 0 || len(r.Waiting) != 3 || len(r.GivenUp) != 0 || r.Waiting[0].Count != tries {
		t.Errorf("the report is %+v", r)
	}
	if r, err := b.run(Options{Retry: true}); err != nil || len(r.Failed) != 3 {
		t.Errorf("the report is %+v, error %v", r, err)
	}
	// It was refused a thousand times, for the last time a day ago.
	var records []journal.Record
	for _, k := range b.keys() {
		for range 1000 {
			records = append(records, journal.Failed{Key: k, Target: maildir.Name(), Reason: "full", At: time.Now().Add(-longestPause), Passing: true})
		}
	}
	b.noted(records...)
	b.Targets[0] = maildir
	if r := b.must(); r.Delivered != 3 || len(r.Waiting) != 0 || r.Deleted != 3 {
		t.Errorf("the report is %+v", r)
	}
	b.holds("mail", mail)
}

// TestGivenUp: what a target never takes is given up, and each run says so.
func TestGivenUp(t *testing.T) {
	b := newBed(t, "none")
	b.Targets[0] = &brokenTarget{b.Targets[0], func(*target.Message) error {
		return &target.Refusal{Permanent: true, Reason: "too ugly"}
	}}
	b.deliver(0, 1)
	for i := range tries {
		if r := b.must(); len(r.Failed) != 1 || r.Failed[0].GivenUp != (i == tries-1) || r.Failed[0].Count != i+1 || len(r.GivenUp) != 0 {
			t.Fatalf("the report is %+v", r)
		}
	}
	for range 2 {
		if r := b.must(); len(r.GivenUp) != 1 || r.GivenUp[0].Reason != "too ugly" || r.GivenUp[0].Target != b.Targets[0].Name() || len(r.Waiting) != 0 {
			t.Errorf("the report is %+v", r)
		}
	}
}

// TestTurn: pauses grow, to a day at most, and one refusal that lasts is not
// the end of what was put off a hundred times.
func TestTurn(t *testing.T) {
	begun := time.Now()
	r := &run{Account: new(Account), begun: begun}
	for _, c := range []struct {
		count   int
		passing bool
		ago     time.Duration
		want    turn
	}{
		{4, true, time.Second, now},
		{5, true, 59 * time.Minute, later},
		{5, true, time.Hour, now},
		{6, true, time.Hour, later},
		{6, true, 2 * time.Hour, now},
		{10000, true, longestPause - time.Second, later},
		{10000, true, longestPause, now},
		{4, false, time.Hour, now},
		{5, false, 100 * time.Hour, never},
		{10000, true, -time.Hour, now}, // the clock was wrong
	} {
		if got := r.turn(journal.Failure{Count: c.count, Passing: c.passing, At: begun.Add(-c.ago)}); got != c.want {
			t.Errorf("%d times, passing %v, %v ago: %d, want %d", c.count, c.passing, c.ago, got, c.want)
		}
	}
	var e journal.Entry
	e.Failures = []journal.Failure{{Target: "x", Count: 100, Passing: true}}
	if n := e.Count(journal.Failed{Target: "x"}); n != 1 {
		t.Errorf("a refusal that lasts counts %d", n)
	}
}

// TestOnceARun: sessions that follow each other in a run do not try a message
// again that failed in it.
func TestOnceARun(t *testing.T) {
	b := newBed(t, "all")
	b.Sessions = true
	tried := 0
	b.Targets[0] = &brokenTarget{b.Targets[0], func(m *target.Message) error {
		if tried++; tried > 20 {
			return context.Canceled
		}
		return &target.Refusal{Reason: "full"}
	}}
	b.deliver(0, 1)
	if r, err := b.run(Options{Retry: true}); err != nil || tried != 1 || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Reason, "full") {
		t.Errorf("%d tries, the report is %+v, error %v", tried, r, err)
	}
}
