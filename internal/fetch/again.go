package fetch

import (
	"time"

	"github.com/poplin-mail/poplin/internal/fetch/journal"
)

// turn is when a message that failed has its next try.
type turn uint8

const (
	now   turn = iota
	later      // in a later run
	never      // unless somebody wants it: it is given up
)

// The pause before the next try of what may pass, once it has failed as often
// as tries: longer each time, and never longer than a run a day can bear.
const (
	firstPause   = time.Hour
	longestPause = 20 * time.Hour
)

// turn tells when a message is tried again that failed so. What may pass by
// itself, such as a mailbox that is full, is tried without an end. No message is
// tried twice in a run, however many sessions that has.
func (r *run) turn(f journal.Failure) turn {
	since := r.begun.Sub(f.At)
	switch {
	case since < 0 && time.Since(f.At) >= 0: // in this run
		return later
	case r.opts.Retry || f.Count < tries:
		return now
	case !f.Passing:
		return never
	case since >= 0 && since < min(firstPause<<min(f.Count-tries, 5), longestPause):
		return later
	}
	return now
}

// Why a message is left out, for people.
const (
	whyGivenUp = "it failed too often, and is given up; --retry has it tried again"
	whyWaiting = "it was not taken for now, and is tried again later"
	whyServer  = "the server fails to give it; --retry has it tried again"
	whySize    = "it is larger than the server says; --retry has it tried again"
)

// leftOut notes a message that has no turn, for the report.
func (r *run) leftOut(it item, f journal.Failure, t turn) {
	k := leaving{it.Key, f.Target}
	if t == now || r.left[k] || r.opts.DryRun || !f.At.Before(r.begun) { // what failed in this run was told then
		return
	}
	if r.left == nil {
		r.left = make(map[leaving]bool)
	}
	r.left[k] = true
	m := FailedMessage{UID: it.UID, Target: f.Target, Reason: f.Reason, Count: f.Count, GivenUp: t == never}
	if m.Target == oversize {
		m.Target = ""
	}
	if t == never {
		r.report.GivenUp = append(r.report.GivenUp, m)
	} else {
		r.report.Waiting = append(r.report.Waiting, m)
	}
}

// leaving is a message that is kept from a target, or from all.
type leaving struct {
	journal.Key
	target string
}

// failure makes the record of a message that failed, and tells of it.
func (r *run) failure(k journal.Key, targetName, reason string, passing bool) journal.Failed {
	record := journal.Failed{Key: k, Target: targetName, Reason: reason, At: time.Now(), Passing: passing}
	count := 1
	r.journal.Look(k, func(e *journal.Entry) {
		if e != nil {
			count = e.Count(record)
		}
	})
	once := targetName == oversize && (!r.HeaderOnly || r.MaxMessage == 0)
	r.note(k, targetName, reason, count, !passing && (once || count >= tries))
	return record
}
