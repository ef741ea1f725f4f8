// Package cases besieges a running `poplin serve` the way a hostile or slow
// crowd does, and measures what that costs the server and a bystander. Each
// case has a server process of its own, so that the peak of its memory is its
// own too. The command siege prints what comes of it; the end-to-end tests
// run the same cases with smaller numbers.
//
// It stands on Go's standard library alone, and works on Linux: the server is
// watched through /proc, and the crowd comes from many addresses of
// 127.0.0.0/8, so that the limits per address and network are on.
package cases

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Options say how the cases are run.
type Options struct {
	Poplin string // path of the program
	Dir    string // folder for files; each case makes one of its own in it
	Short  bool   // smaller numbers, for tests
}

// of gives the number for this run.
func (o Options) of(full, short int) int {
	if o.Short {
		return short
	}
	return full
}

// Case is one kind of attack.
type Case struct {
	Name  string // one word
	Claim string // what must hold
	run   func(*field) error
}

// All gives the cases, in the order in which they are run.
func All() []Case {
	return []Case{
		{"handshakes", "half TLS handshakes are dropped, by the limit on them or by handshake_timeout", halfHandshakes},
		{"commands", "command lines that never end are dropped by login_timeout", slowCommands},
		{"sasl", "SASL responses that never end are dropped by login_timeout", slowSASL},
		{"readers", "clients that read an octet a second are dropped by write_timeout, and cost no memory meanwhile", slowReaders},
		{"pipeline", "pipelined commands are not read while their replies are not, and are answered in order", pipeline},
		{"reset", "connections that are reset at the same time leave nothing behind", reset},
		{"storm", "connections that come and go leave nothing behind", storm},
		{"descriptors", "a server without descriptors does not spin, and lets new clients in", noDescriptors},
		{"guesses", "guesses that are made at the same time are slowed down, others log in, memory is bounded", parallelGuesses},
		{"hashes", "guesses from many addresses take no more memory than those from one", manyGuessers},
		{"lines", "endless lines, long responses and unknown verbs get an error and take no memory", hostileLines},
		{"timing", "a user who does not exist is refused in the same words and the same time", knownAndUnknown},
	}
}

// Result is what came of a case.
type Result struct {
	Case        Case
	Connections int // that the attack made

	Before, Peak, After Usage // Peak holds its memory and descriptors only

	Logins  int           // of the bystander
	P50     time.Duration // how long they took, from the connection to the maildrop
	P99     time.Duration
	Worst   time.Duration
	Dropped time.Duration // until the last attacker was dropped; zero where that is not the point

	Notes  []string // further figures
	Slow   []string // what took longer than it ought to: it may be the machine
	Faults []string // what must not be: nil where the claim holds
}

// Verdict sums the result up in a word.
func (r *Result) Verdict() string {
	switch {
	case len(r.Faults) > 0:
		return "FAULT"
	case len(r.Slow) > 0:
		return "slow"
	}
	return "holds"
}

// Run runs the case. An error says that it could not be run; that the server
// did not stand it is in the Result's Faults.
func (c Case) Run(ctx context.Context, opts Options) (*Result, error) {
	f := &field{Options: opts, ctx: ctx, Result: &Result{Case: c}}
	defer f.stop()
	if err := c.run(f); err != nil {
		return nil, fmt.Errorf("case %s: %w%s", c.Name, err, f.lastOfLog())
	}
	return f.Result, nil
}

// field is where a case takes place.
type field struct {
	Options
	*Result
	ctx    context.Context
	server *server
	guest  *bystander
	late   time.Duration // what a bystander's login may take; zero: a second
}

func (f *field) fault(format string, args ...any) {
	f.Faults = append(f.Faults, fmt.Sprintf(format, args...))
}
func (f *field) slow(format string, args ...any) {
	f.Slow = append(f.Slow, fmt.Sprintf(format, args...))
}
func (f *field) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
}

// start starts the server, lets somebody log in once, so that what is made at
// the first login is there, and measures.
func (f *field) start(cfg setting) error {
	var err error
	if f.server, err = startServer(f.ctx, f.Options, f.Case.Name, cfg); err != nil {
		return err
	}
	if _, err := f.server.login(f.ctx, guestAddr, guestName); err != nil {
		return fmt.Errorf("the first login: %w", err)
	}
	f.Before, err = f.server.usage(f.ctx)
	return err
}

// invite lets the bystander log in, again and again, until finish.
func (f *field) invite() { f.guest = watchLogins(f.ctx, f.server) }

// finish ends what start began: the bystander goes, and what the attack took
// must be given back.
func (f *field) finish() error {
	if f.guest != nil {
		f.guest.leave(f)
	}
	if err := f.peak(); err != nil {
		return err
	}
	after, err := f.server.settle(f.ctx, f.Before)
	f.After = after
	if err != nil {
		return err
	}
	if !after.near(f.Before) {
		f.fault("%d descriptors and %d goroutines are left, %d and %d were there before",
			after.Descriptors, after.Goroutines, f.Before.Descriptors, f.Before.Goroutines)
	}
	if _, err := f.server.login(f.ctx, guestAddr, guestName); err != nil {
		f.fault("nobody can log in afterwards: %v", err)
	}
	if n := strings.Count(f.server.log(), "session panicked"); n > 0 {
		f.fault("%d sessions panicked", n)
	}
	return nil
}

// peak notes the most memory that was taken until now.
func (f *field) peak() error {
	now, err := f.server.peakUsage()
	if err != nil {
		return err
	}
	f.Peak.Memory = max(f.Peak.Memory, now.Memory)
	f.Peak.Descriptors = max(f.Peak.Descriptors, now.Descriptors)
	return nil
}

// bound holds the memory that the attack took to so much, and so much a
// connection.
func (f *field) bound(fixed, each int64) {
	limit := fixed + each*int64(f.Connections)
	if took := f.Peak.Memory - f.Before.Memory; took > limit {
		f.fault("it took %s of memory, over %s", MiB(took), MiB(limit))
	}
}

// MiB gives octets in a form for people.
func MiB(octets int64) string { return fmt.Sprintf("%.1f MiB", float64(octets)/(1<<20)) }

func (f *field) stop() {
	if f.guest != nil {
		f.guest.stop()
	}
	if f.server != nil {
		f.server.kill()
	}
}

// lastOfLog gives the end of the server's log, for errors.
func (f *field) lastOfLog() string {
	if f.server == nil {
		return ""
	}
	log := f.server.log()
	return "\nthe server's log ends:\n" + log[max(0, len(log)-2000):]
}

// patience bounds whatever is waited for: far more than it takes on a slow
// machine.
const patience = 3 * time.Minute
