// The command siege builds Poplin, runs `poplin serve` under attack, a case
// after the other, all on this machine, and prints what each cost: see package
// cases. `make siege` runs it. It ends with 1 if a claim does not hold.
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

	"github.com/poplin-mail/poplin/bench/siege/cases"
)

func main() {
	poplin := flag.String("poplin", "", "`program` to besiege; empty: the one that ./cmd/poplin builds")
	short := flag.Bool("short", false, "smaller numbers, as the end-to-end tests have them")
	only := flag.String("case", "", "`names` of the cases to run, separated by commas; empty: all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	holds, err := run(ctx, *poplin, *only, *short)
	if err != nil {
		fmt.Fprintln(os.Stderr, "siege:", err)
	}
	if err != nil || !holds {
		os.Exit(1)
	}
}

// run runs the cases that are asked for and prints as it goes.
func run(ctx context.Context, poplin, only string, short bool) (holds bool, err error) {
	dir, err := os.MkdirTemp("", "siege-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if poplin == "" {
		poplin = filepath.Join(dir, "poplin")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", poplin, "./cmd/poplin")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return false, fmt.Errorf("building poplin, in the root of the module: %w\n%s", err, out)
		}
	}
	fmt.Printf("%s, %s/%s, %d processors, %s\n\n", time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	var results []*cases.Result
	holds = true
	for _, c := range cases.All() {
		if only != "" && !strings.Contains(","+only+",", ","+c.Name+",") {
			continue
		}
		begun := time.Now()
		r, err := c.Run(ctx, cases.Options{Poplin: poplin, Dir: dir, Short: short})
		if err != nil {
			return false, err
		}
		results = append(results, r)
		holds = holds && len(r.Faults) == 0
		fmt.Printf("%s: %s (%.0f s): %s\n", c.Name, c.Claim, time.Since(begun).Seconds(), r.Verdict())
		for _, line := range append(append(r.Faults, r.Slow...), r.Notes...) {
			fmt.Println("  " + line)
		}
	}
	if len(results) == 0 {
		return false, fmt.Errorf("there is no case %q", only)
	}
	fmt.Println()
	return holds, table(results)
}

// table prints a row a case.
func table(results []*cases.Result) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tconnections\tMiB before\tpeak\tafter\tdescriptors\tafter\tgoroutines\tafter\tlogins\tp50 ms\tp99 ms\tworst ms\tdropped after s\tverdict\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%.1f\t%s\t\n", r.Case.Name, r.Connections,
			mib(r.Before.Memory), mib(r.Peak.Memory), mib(r.After.Memory), r.Before.Descriptors, r.After.Descriptors,
			r.Before.Goroutines, r.After.Goroutines, r.Logins, ms(r.P50), ms(r.P99), ms(r.Worst), r.Dropped.Seconds(), r.Verdict())
	}
	return w.Flush()
}

func mib(octets int64) string { return fmt.Sprintf("%.0f", float64(octets)/(1<<20)) }

func ms(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Millisecond)) }
