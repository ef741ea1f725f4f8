// The command powerloss builds Poplin and finds out what is left of the mail
// when the power fails: see package trial. Then it does the same with controls,
// each Poplin with an fsync removed, whose harm must be seen. It takes root,
// for an ext4 of its own, /dev/fuse, loop devices, nbdfuse and mkfs.ext4. It
// mounts in a mount table of its own, and only what it made itself.
//
// `make powerloss` runs it. It ends with 1 if Poplin lost mail, or if a control
// did not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/bench/powerloss/disk"
	"github.com/poplin-mail/poplin/bench/powerloss/trial"
)

// options are the flags.
type options struct {
	poplin  string
	dir     string
	time    time.Duration
	control time.Duration
	work    time.Duration
	moments int
	seed    uint64
}

func main() {
	var opts options
	flag.StringVar(&opts.poplin, "poplin", "", "`program` to try; empty: the one that ./cmd/poplin builds")
	flag.StringVar(&opts.dir, "dir", "", "`folder` for files; empty: that for temporary files")
	flag.DurationVar(&opts.time, "time", 2*time.Minute, "how `long` to try Poplin")
	flag.DurationVar(&opts.control, "control", 30*time.Second, "how `long` to try each control; 0: until its harm is seen")
	flag.DurationVar(&opts.work, "work", 1500*time.Millisecond, "how `long` mail comes in and goes out in a round")
	flag.IntVar(&opts.moments, "moments", 100, "how `often` the power fails in a round")
	flag.Uint64Var(&opts.seed, "seed", 0, "`number` that messages, sizes and moments follow from; 0: one by chance")
	flag.Parse()
	err := disk.Apart()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "powerloss:", err)
		os.Exit(1)
	}
}

// run tries Poplin and the controls, one after the other.
func run(ctx context.Context, opts options) (err error) {
	dir, err := os.MkdirTemp(opts.dir, "powerloss-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if opts.seed == 0 {
		opts.seed = rand.Uint64()
	}
	fmt.Printf("%s, Linux %s, %s, %d processors, %s, seed %d\n", time.Now().UTC().Format(time.DateOnly), disk.Kernel(),
		runtime.GOARCH, runtime.NumCPU(), runtime.Version(), opts.seed)
	result, err := try(ctx, opts, filepath.Join(dir, "poplin"), nil)
	if err != nil {
		return err
	}
	verdict := result.Verdict()
	for i := range controls {
		c := &controls[i]
		result, err := try(ctx, opts, filepath.Join(dir, fmt.Sprint("control", i)), c)
		if err != nil {
			return err
		}
		if c.seen(result.Counts) == 0 {
			verdict = errors.Join(verdict, fmt.Errorf("%s: nothing %s was seen, so that the trial shows nothing", c.name, c.harm))
		}
	}
	return verdict
}

// longest bounds how long the harm of a control is looked for.
const longest = 3 * time.Minute

// seen gives how much of its harm was found.
func (c *control) seen(r trial.Counts) int {
	return map[string]int{"lost": r.Lost, "torn": r.Torn, "removed and back": r.Returned}[c.harm]
}

// shown bounds the refusals that are told in words, and the faults of a control.
const shown = 3

// try builds Poplin, with the fault of a control if there is one, tries it and
// says what came of it. Its files are in dir.
func try(ctx context.Context, opts options, dir string, c *control) (*trial.Result, error) {
	name, limit := "Poplin", opts.time
	var enough func(trial.Counts) bool
	if c != nil {
		name, limit = "Control: "+c.name, opts.control
		if limit == 0 {
			limit = longest
			enough = func(counts trial.Counts) bool { return c.seen(counts) > 0 }
		}
	}
	fmt.Printf("\n%s\n", name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	poplin := opts.poplin
	if c != nil || poplin == "" {
		poplin = filepath.Join(dir, "poplin")
		if err := build(ctx, poplin, c); err != nil {
			return nil, err
		}
	}
	poplin, err := filepath.Abs(poplin)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	told := begun
	result, err := trial.Run(ctx, trial.Options{Poplin: poplin, Dir: dir, Time: limit, Work: opts.work, Moments: opts.moments, Seed: opts.seed, Enough: enough,
		Progress: func(counts trial.Counts) {
			if time.Since(told) > 10*time.Second {
				told = time.Now()
				fmt.Printf("%4.0f s: %d images, %d with faults\n", time.Since(begun).Seconds(), counts.Images, counts.Faulty)
			}
		}})
	if err != nil {
		return nil, err
	}
	fmt.Print(result.Counts)
	for _, reply := range result.Refusals[:min(len(result.Refusals), shown)] {
		fmt.Println("refused:", reply)
	}
	faults := result.Faults
	if c != nil {
		faults = faults[:min(len(faults), shown)]
	}
	for _, fault := range faults {
		if c != nil {
			fault, _, _ = strings.Cut(fault, "\n") // without the server's log
		}
		fmt.Println("fault:", fault)
	}
	return result, nil
}
