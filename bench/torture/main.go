// The command torture builds Poplin and kills `poplin serve` with SIGKILL,
// again and again, under LMTP deliveries and POP3 sessions, and checks that no
// message was lost, doubled or torn: see package rounds. `make torture` runs
// it. It ends with 1 if one was.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"github.com/poplin-mail/poplin/bench/torture/rounds"
)

func main() {
	var opts rounds.Options
	flag.StringVar(&opts.Poplin, "poplin", "", "`program` to kill; empty: the one that ./cmd/poplin builds")
	flag.StringVar(&opts.Dir, "dir", "", "`folder` on the disk to use; empty: that for temporary files")
	flag.IntVar(&opts.Kills, "kills", 10_000, "how many `times` to kill")
	flag.Uint64Var(&opts.Seed, "seed", 0, "`number` that messages, sizes and moments follow from; 0: one by chance")
	flag.DurationVar(&opts.Longest, "longest", 0, "the longest `time` between the start of serving and the kill (default 300ms)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// run prints a line every few seconds, and a summary.
func run(ctx context.Context, opts rounds.Options) error {
	dir, err := os.MkdirTemp(opts.Dir, "torture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if opts.Dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if opts.Poplin == "" {
		opts.Poplin = filepath.Join(opts.Dir, "poplin")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", opts.Poplin, "./cmd/poplin")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building poplin, in the root of the module: %w\n%s", err, out)
		}
	}
	if opts.Seed == 0 {
		opts.Seed = rand.Uint64()
	}
	begun := time.Now()
	fmt.Printf("%s, %s/%s, %d processors, %s, seed %d\n", begun.UTC().Format(time.DateOnly),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), opts.Seed)
	shown := begun
	opts.Progress = func(c rounds.Counts) {
		if now := time.Now(); now.Sub(shown) >= 5*time.Second {
			shown = now
			fmt.Printf("%4.0f s: %v\n", now.Sub(begun).Seconds(), c)
		}
	}
	result, err := rounds.Run(ctx, opts)
	if result != nil {
		fmt.Printf("\nafter %.0f s, seed %d:\n%s", time.Since(begun).Seconds(), opts.Seed, result.Summary())
	}
	if err != nil {
		return err
	}
	return result.Verdict()
}
