package journal

import (
	"slices"
	"time"
)

// Entry is what is known of one message.
type Entry struct {
	Key
	Fact                 // once a target has it
	Generation int       // how many messages had the unique-id before
	At         time.Time // when the first target had it; zero: none has
	Intents    []Intent  // of deliveries whose end is not known
	Failures   []Failure
	Marked     bool      // the server was asked to delete it
	Gone       time.Time // since when it is not on the server; zero: it is, as far as is known

	done uint64 // the targets that have it, a bit each
	s    *state
}

// Failure is why a message is not delivered.
type Failure struct {
	Target string // empty: the server does not give it
	Reason string
	Count  int       // how often in a row it failed so
	At     time.Time // of the last time

	// Passing says that it may go well later, with nobody doing anything.
	Passing bool
}

// Done tells whether a target has the message.
func (e *Entry) Done(target string) bool {
	if e.s == nil {
		return false
	}
	i := slices.Index(e.s.targets, target)
	return i >= 0 && e.done&(1<<i) != 0
}

// Failed tells how often a target, or with an empty name the server, has failed
// with the message.
func (e *Entry) Failed(target string) int { return e.Failure(target).Count }

// Failure gives why a target, or with an empty name the server, failed with the
// message the last time; its Count is 0 where none has.
func (e *Entry) Failure(target string) Failure {
	for _, f := range e.Failures {
		if f.Target == target {
			return f
		}
	}
	return Failure{Target: target}
}

// Count gives the count that a failure makes: what may pass and what lasts are
// counted apart.
func (e *Entry) Count(r Failed) int {
	if f := e.Failure(r.Target); f.Passing == r.Passing {
		return f.Count + 1
	}
	return 1
}

// settle takes out the intent of a delivery that ended.
func (e *Entry) settle(target string) {
	e.Intents = slices.DeleteFunc(e.Intents, func(i Intent) bool { return i.Target == target })
}

// state is what the records come to.
type state struct {
	entries map[Key]*Entry
	targets []string // by the bit of Entry.done
	lines   int      // records that were taken in
}

// MaxTargets is how many targets an account may have had in its life.
const MaxTargets = 64

// Room tells whether the journal can take note of these targets beside those
// that it knows.
func (j *Journal) Room(targets []string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.state.targets)
	for _, t := range targets {
		if !slices.Contains(j.state.targets, t) {
			n++
		}
	}
	return n <= MaxTargets
}

// entry gives what is known of a message, made where there is nothing.
func (s *state) entry(k Key) *Entry {
	e := s.entries[k]
	if e == nil {
		if s.entries == nil {
			s.entries = make(map[Key]*Entry)
		}
		e = &Entry{Key: k, s: s}
		s.entries[k] = e
	}
	return e
}

// bit gives the bit of a target; none where there are too many.
func (s *state) bit(target string) uint64 {
	i := slices.Index(s.targets, target)
	if i < 0 {
		i = len(s.targets)
		s.targets = append(s.targets, target)
	}
	return 1 << i
}

// live is about how many records say what is known.
func (s *state) live() int { return 2 * len(s.entries) }

// snapshot gives the records that say what is known.
func (s *state) snapshot() (lines []byte) {
	for _, e := range s.entries {
		for range e.Generation {
			lines = Renewed{e.Key}.append(lines)
		}
		for i, t := range s.targets {
			if e.done&(1<<i) != 0 {
				lines = Done{e.Key, t, e.Fact, e.At}.append(lines)
			}
		}
		for _, f := range e.Failures {
			for range f.Count {
				lines = Failed{e.Key, f.Target, f.Reason, f.At, f.Passing}.append(lines)
			}
		}
		for _, i := range e.Intents { // behind failures, which end them
			lines = i.append(lines)
		}
		if e.Marked {
			lines = Marked{e.Key}.append(lines)
		}
		if !e.Gone.IsZero() {
			lines = Gone{e.Key, e.Gone}.append(lines)
		}
	}
	return lines
}

// View calls f with all entries, in no order, and holds the journal meanwhile.
func (j *Journal) View(f func(*Entry)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.state.entries {
		f(e)
	}
}

// Look calls f with what is known of a message, nil where it is nothing, and
// holds the journal meanwhile.
func (j *Journal) Look(k Key, f func(*Entry)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(j.state.entries[k])
}

// Forget drops what went from the server before that time, and writes the
// journal anew where there is such.
func (j *Journal) Forget(before time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	n := len(j.state.entries)
	for k, e := range j.state.entries {
		if !e.Gone.IsZero() && e.Gone.Before(before) && len(e.Intents) == 0 {
			delete(j.state.entries, k)
		}
	}
	if len(j.state.entries) == n {
		return nil
	}
	if err := j.rewrite(); err != nil {
		j.err = err
		return err
	}
	return nil
}

// Targets gives the names of the targets that have had a message.
func (j *Journal) Targets() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.state.targets)
}
