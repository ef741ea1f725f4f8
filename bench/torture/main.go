// The command torture builds Poplin and kills `poplin serve` with SIGKILL,
// again and again, under LMTP deliveries and POP3 sessions, and checks that no
// message was lost, doubled or torn: see package rounds. `make torture` runs
// it. With -bucket there are two servers over an object store, whose gateways
// are killed too. It ends with 1 if mail was harmed.
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
	"strings"
	"time"

	"github.com/poplin-mail/poplin/bench/torture/rounds"
)

// options are the command line.
type options struct {
	rounds.Options
	bucket    bool
	time      time.Duration
	versitygw string
}

func main() {
	var opts options
	flag.StringVar(&opts.Poplin, "poplin", "", "`program` to kill; empty: the one that ./cmd/poplin builds")
	flag.StringVar(&opts.Dir, "dir", "", "`folder` on the disk to use; empty: that for temporary files")
	flag.IntVar(&opts.Kills, "kills", 10_000, "how many `times` to kill; not with -bucket")
	flag.Uint64Var(&opts.Seed, "seed", 0, "`number` that messages, sizes and moments follow from; 0: one by chance")
	flag.DurationVar(&opts.Longest, "longest", 0, "the longest `time` between the start of serving and the kill (default 300ms); not with -bucket")
	flag.BoolVar(&opts.bucket, "bucket", false, "two servers over an object store with two gateways")
	flag.DurationVar(&opts.time, "time", 10*time.Minute, "with -bucket, `how long` there is load")
	flag.StringVar(&opts.versitygw, "versitygw", "", "with -bucket, the S3 `server`; empty: the one that e2e/versitygw builds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// run prints a line every few seconds, and a summary.
func run(ctx context.Context, opts options) error {
	dir, err := os.MkdirTemp(opts.Dir, "torture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if opts.Dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := build(ctx, &opts); err != nil {
		return err
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
	var result *rounds.Result
	if opts.bucket {
		result, err = rounds.RunNodes(ctx, rounds.NodeOptions{
			Poplin: opts.Poplin, Versitygw: opts.versitygw, Dir: opts.Dir, Time: opts.time, Seed: opts.Seed, Progress: opts.Progress,
		})
	} else {
		result, err = rounds.Run(ctx, opts.Options)
	}
	if result != nil {
		fmt.Printf("\nafter %.0f s, seed %d:\n%s", time.Since(begun).Seconds(), opts.Seed, result.Summary())
	}
	if err != nil {
		return err
	}
	return result.Verdict()
}

// build builds the programs that are not named.
func build(ctx context.Context, opts *options) error {
	if opts.Poplin == "" {
		opts.Poplin = filepath.Join(opts.Dir, "poplin")
		if _, err := goTool(ctx, ".", "build", "-trimpath", "-o", opts.Poplin, "./cmd/poplin"); err != nil {
			return fmt.Errorf("building poplin, in the root of the module: %w", err)
		}
	}
	if opts.bucket && opts.versitygw == "" {
		fmt.Println("building versitygw, which takes some minutes the first time")
		path, err := goTool(ctx, "e2e/versitygw", "tool", "-n", "versitygw")
		if err != nil {
			return fmt.Errorf("building versitygw, in the root of the module: %w", err)
		}
		opts.versitygw = path
	}
	return nil
}

// goTool runs the command go and gives what it prints.
func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}
