// Package rounds measures programs that retrieve mail, as whole processes:
// Measure runs all of them in all cases, round by round and each round in an
// order of its own, so that what else the machine does meets all alike.
package rounds

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Case is what is to be done.
type Case struct {
	RTT    time.Duration // of the way to the server
	TLS    bool
	Delete bool // what was retrieved goes from the server
}

func (c Case) String() string {
	text := "loopback"
	if c.RTT > 0 {
		text = c.RTT.String()
	}
	return text + choose(c.TLS, ", TLS", "") + choose(c.Delete, ", delete", ", keep")
}

// Options say how to measure.
type Options struct {
	Dir      string // on the disk to use; what is made in it stays there: ext4 is slow to make files where many were just removed
	Messages int
	Octets   int // of a message
	Rounds   int
	Patience time.Duration // how long a run may take
	Log      func(text string)
}

// Result is what a tool did in a case.
type Result struct {
	Case Case
	Tool string
	Runs []Run
}

// Run is one process.
type Run struct {
	Wall, CPU time.Duration
	Peak      int64 // octets of memory
	Late      bool  // stopped at the end of the patience
}

// Once is the part of the patience above which a tool runs only once in a case.
const Once = 4

// Measure runs all tools in all cases.
func Measure(ctx context.Context, cases []Case, tools []Tool, opts Options) ([]Result, error) {
	mail := newMail(opts.Messages, opts.Octets)
	var all []Result
	for _, c := range cases {
		for _, t := range tools {
			all = append(all, Result{Case: c, Tool: t.Name})
		}
	}
	for round := range opts.Rounds {
		for _, i := range rand.Perm(len(all)) {
			r := &all[i]
			if round > 0 && (len(r.Runs) == 0 || r.Runs[0].Late || r.Runs[0].Wall > opts.Patience/Once) {
				continue // it is slow, or failed
			}
			u, err := one(ctx, r.Case, tools[i%len(tools)], mail, opts, nil, nil)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				opts.Log(fmt.Sprintf("round %d: %s, %v: %v", round+1, r.Tool, r.Case, err))
				continue
			}
			opts.Log(fmt.Sprintf("round %d: %s, %v: %.2f s", round+1, r.Tool, r.Case, u.wall.Seconds()))
			r.Runs = append(r.Runs, Run{u.wall, u.cpu, u.peak, u.late})
		}
	}
	return all, nil
}

// one runs one process, by way of the command where one is given, with a server
// and folders that are new, and checks what came of it. Then look is called.
func one(ctx context.Context, c Case, t Tool, mail [][]byte, opts Options, by []string, look func(j job) error) (u usage, err error) {
	dir, err := os.MkdirTemp(opts.Dir, "run-")
	if err != nil {
		return u, err
	}
	certificate := filepath.Join(dir, "authority.pem")
	if err := writeCertificate(certificate); err != nil {
		return u, err
	}
	s, err := newServer(mail, c.RTT, c.TLS)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	j, err := newJob(dir, s.way.addr(), c, certificate)
	if err != nil {
		return u, err
	}
	command, err := t.command(t.Program, j)
	if err != nil {
		return u, err
	}
	settle()
	u, err = measure(ctx, append(slices.Clone(by), command...), dir, t.unprivileged, opts.Patience)
	if err != nil || u.late {
		return u, err
	}
	if err := check(ctx, t, j, s, mail); err != nil {
		return u, err
	}
	if look != nil {
		return u, look(j)
	}
	return u, nil
}

// check tells whether all came whole, and whether the server has what it is to
// have.
func check(ctx context.Context, t Tool, j job, s *server, mail [][]byte) error {
	read := t.read
	if read == nil {
		read = func(j job) ([][]byte, error) { return readMaildir(j.maildir) }
	}
	came, err := read(j)
	if err != nil {
		return err
	}
	whole, err := arrived(mail, came)
	if err == nil && whole < len(mail) {
		err = fmt.Errorf("of %d messages %d came", len(mail), whole)
	}
	if err != nil {
		return err
	}
	want := int64(len(mail))
	if j.deletes {
		want = 0
	}
	left, err := s.left(ctx)
	if err == nil && left != want {
		err = fmt.Errorf("%d messages are on the server, and should be %d", left, want)
	}
	return err
}

// Median gives the run in the middle by time, and the shortest and the longest
// time.
func (r Result) Median() (mid Run, least, most time.Duration) {
	runs := slices.Clone(r.Runs)
	slices.SortFunc(runs, func(a, b Run) int { return int(a.Wall - b.Wall) })
	mid = runs[len(runs)/2]
	least, most = runs[0].Wall, runs[len(runs)-1].Wall
	mid.CPU = middle(runs, func(r Run) time.Duration { return r.CPU })
	mid.Peak = middle(runs, func(r Run) int64 { return r.Peak })
	return mid, least, most
}

func middle[T int64 | time.Duration](runs []Run, of func(Run) T) T {
	all := make([]T, len(runs))
	for i, r := range runs {
		all[i] = of(r)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
