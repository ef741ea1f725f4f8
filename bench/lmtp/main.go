// The command lmtp measures how fast Poplin takes mail in, beside Dovecot's
// lmtpd with the same promise: that a message survives a power failure once it
// is acknowledged. It starts both itself, with configurations and folders of
// its own, in turns. `make bench-lmtp` runs it. It takes root, because Dovecot
// does, and the Debian package dovecot-lmtpd; and strace, to count syncs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/poplin-mail/poplin/bench/lmtp/rounds"
)

func main() {
	poplin := flag.String("poplin", "", "`program` to measure; empty: the one that ./cmd/poplin builds. Several, with commas, are measured beside each other")
	dir := flag.String("dir", "", "`folder` on the disk to use; empty: that for temporary files")
	image := flag.Bool("image", false, "use a file system of its own, ext4 in a file of that folder: nothing else is in its journal then, or counts as its flushes")
	times := flag.Int("rounds", 5, "how `often` each case is measured; the table has the medians")
	span := flag.Duration("time", 3*time.Second, "how `long` a round is")
	only := flag.String("only", "", "only the cases whose name holds this `text`")
	alone := flag.Bool("alone", false, "without Dovecot")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *poplin, *dir, *image, *times, *span, *only, *alone); err != nil {
		fmt.Fprintln(os.Stderr, "lmtp:", err)
		os.Exit(1)
	}
}

// run measures all cases and prints the table.
func run(ctx context.Context, poplin, dir string, image bool, times int, span time.Duration, only string, alone bool) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("it takes root, because Dovecot does")
	}
	if dir, err = os.MkdirTemp(dir, "lmtp-"); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the servers are nobody
		return err
	}
	if poplin == "" {
		poplin = filepath.Join(dir, "poplin")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", poplin, "./cmd/poplin")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building poplin, in the root of the module: %w\n%s", err, out)
		}
	}
	if image {
		mounted, unmount, err := fileSystem(dir)
		if err != nil {
			return err
		}
		defer unmount()
		dir = mounted
	}
	var kinds []rounds.Kind
	for program := range strings.SplitSeq(poplin, ",") {
		kinds = append(kinds, rounds.Poplin(program))
	}
	if !alone {
		kinds = append(kinds, rounds.Dovecot("optimized"), rounds.Dovecot("always"))
	}
	version, _ := exec.Command("dovecot", "--version").Output()
	fmt.Printf("%s, %s/%s, %d processors, %s, Dovecot %s\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), strings.TrimSpace(string(version)))
	var all []rounds.Result
	for _, c := range rounds.Cases {
		if !strings.Contains(c.Name, only) {
			continue
		}
		results, err := rounds.Measure(ctx, c, kinds, rounds.Options{Dir: dir, Rounds: times, Span: span})
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		for _, r := range results {
			fmt.Println(r)
		}
		all = append(all, results...)
	}
	fmt.Println()
	return table(all)
}

// fileSystem makes one in a file below dir, and mounts it there.
func fileSystem(dir string) (mounted string, unmount func(), err error) {
	file, mounted := filepath.Join(dir, "image"), filepath.Join(dir, "mounted")
	if err := os.Mkdir(mounted, 0o755); err != nil {
		return "", nil, err
	}
	for _, command := range [][]string{{"fallocate", "-l", "2G", file}, {"mkfs.ext4", "-q", "-F", file}, {"mount", "-o", "loop", file, mounted}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return "", nil, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
		}
	}
	return mounted, func() {
		if out, err := exec.Command("umount", mounted).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s is still mounted: %v\n%s", mounted, err, out)
		}
	}, nil
}

// table prints a row a case and server.
func table(all []rounds.Result) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tserver\tdeliveries/s\tleast\tmost\tp50 ms\tp99 ms\tserver CPU µs\tsyncs\tflushes\t")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.0f\t%s\t%.2f\t\n", r.Case, r.Server, r.Rate, r.Least, r.Most,
			ms(r.P50), ms(r.P99), float64(r.CPU.Nanoseconds())/1000, perDelivery(r.Syncs), r.Flushes)
	}
	return w.Flush()
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// perDelivery writes a number that may be unknown.
func perDelivery(n float64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", n)
}
