// Package rounds measures LMTP servers in turns: Measure runs a case on each
// of them, round by round, so that what else the machine does meets all alike.
package rounds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Case is how mail comes in.
type Case struct {
	Name       string
	Senders    int  // connections, each with a message at a time
	Same       bool // all to one maildrop; else each to its own
	Recipients int  // of a message
}

// Cases are all.
var Cases = []Case{
	{Name: "1 at a time", Senders: 1, Recipients: 1},
	{Name: "8, own maildrops", Senders: 8, Recipients: 1},
	{Name: "32, own maildrops", Senders: 32, Recipients: 1},
	{Name: "8, one maildrop", Senders: 8, Same: true, Recipients: 1},
	{Name: "32, one maildrop", Senders: 32, Same: true, Recipients: 1},
	{Name: "1 to 50 recipients", Senders: 1, Recipients: 50},
}

// users is how many accounts there are.
const users = 50

// Octets of a message.
const Octets = 10_000

// Options say how to measure.
type Options struct {
	Dir    string
	Rounds int
	Span   time.Duration
}

// Result is what a server did in a case: medians of the rounds. A delivery is
// a message for one recipient.
type Result struct {
	Case, Server      string
	Rate, Least, Most float64       // deliveries a second
	P50, P99          time.Duration // of a message, all its recipients
	CPU               time.Duration // of the server, for a delivery
	Syncs             float64       // calls for a delivery; below 0: not counted
	Flushes           float64       // of the disk, for a delivery
}

func (r Result) String() string {
	return fmt.Sprintf("%s, %s: %.0f deliveries/s (%.0f to %.0f)", r.Case, r.Server, r.Rate, r.Least, r.Most)
}

// round is what one round gave.
type round struct {
	deliveries int
	took       time.Duration
	messages   []time.Duration
	cpu        time.Duration
	flushes    int64
}

// Measure runs a case on each kind of server in turns.
func Measure(ctx context.Context, c Case, kinds []Kind, opts Options) ([]Result, error) {
	measured := make([][]round, len(kinds))
	for n := range opts.Rounds {
		for turn := range kinds {
			i := (turn + n) % len(kinds)
			r, err := one(ctx, c, kinds[i], opts)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kinds[i].Name, err)
			}
			measured[i] = append(measured[i], r)
		}
	}
	var all []Result
	for i, kind := range kinds {
		r := summary(measured[i])
		r.Case, r.Server = c.Name, kind.Name
		var err error
		if r.Syncs, err = countSyncs(ctx, c, kind, opts); err != nil {
			return nil, fmt.Errorf("%s: %w", kind.Name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// one measures one round, with a server and maildrops that are new.
func one(ctx context.Context, c Case, kind Kind, opts Options) (r round, err error) {
	s, err := launch(ctx, kind, opts.Dir, "")
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			err = s.explained(err)
		}
		err = errors.Join(err, s.end())
	}()
	senders, err := connect(s.socket, c)
	if err != nil {
		return r, err
	}
	defer closeAll(senders)
	if err := deliver(ctx, senders, time.Now().Add(opts.Span/10), 0, nil); err != nil { // to warm up
		return r, err
	}
	cpu, flushes, begun := s.cpu(), flushed(s.dir), time.Now()
	if err := deliver(ctx, senders, begun.Add(opts.Span), 0, &r.messages); err != nil {
		return r, err
	}
	r.took = time.Since(begun)
	r.cpu, r.flushes = s.cpu()-cpu, flushed(s.dir)-flushes
	r.deliveries = len(r.messages) * c.Recipients
	return r, nil
}

// summary gives the medians.
func summary(rounds []round) Result {
	var r Result
	var rates, cpu, flushes []float64
	var messages []time.Duration
	for _, x := range rounds {
		n := float64(x.deliveries)
		rates = append(rates, n/x.took.Seconds())
		cpu = append(cpu, float64(x.cpu)/n)
		flushes = append(flushes, float64(x.flushes)/n)
		messages = append(messages, x.messages...)
	}
	r.Rate, r.Least, r.Most = median(rates), slices.Min(rates), slices.Max(rates)
	r.CPU, r.Flushes = time.Duration(median(cpu)), median(flushes)
	slices.Sort(messages)
	r.P50, r.P99 = messages[len(messages)/2], messages[len(messages)*99/100]
	return r
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// counted is how many messages each sender sends where syncs are counted.
const counted = 20

// countSyncs counts the calls that sync, in a round of its own: it is slow.
func countSyncs(ctx context.Context, c Case, kind Kind, opts Options) (perDelivery float64, err error) {
	strace, err := straceProgram()
	if err != nil {
		return -1, nil
	}
	trace := filepath.Join(opts.Dir, "trace")
	defer os.Remove(trace)
	s, err := launch(ctx, kind, opts.Dir, strace, "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,sync", "-o", trace)
	if err != nil {
		return 0, err
	}
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(s.explained(err), s.end())
		}
	}()
	senders, err := connect(s.socket, c)
	if err != nil {
		return 0, err
	}
	defer closeAll(senders)
	before, err := syncsIn(trace)
	if err != nil {
		return 0, err
	}
	var messages []time.Duration
	if err := deliver(ctx, senders, time.Now().Add(time.Minute), counted, &messages); err != nil {
		return 0, err
	}
	ended = true
	if err := s.end(); err != nil {
		return 0, err
	}
	after, err := syncsIn(trace)
	return float64(after-before) / float64(len(messages)*c.Recipients), err
}
