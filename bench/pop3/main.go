// The command pop3 measures Poplin beside Dovecot, both as they come and
// Dovecot as its manual has it for speed, with the load generator of `poplin
// bench`. It starts all of them itself, with configurations and folders of its
// own, and measures in turns. `make bench-pop3` runs it. It takes root, because
// Dovecot does, and the Debian package dovecot-pop3d.
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

	"github.com/poplin-mail/poplin/bench/pop3/rounds"
)

func main() {
	poplin := flag.String("poplin", "", "`program` to measure; empty: the one that ./cmd/poplin builds. Several, with commas, are measured beside each other")
	dir := flag.String("dir", "", "`folder` on the disk to use; empty: that for temporary files")
	times := flag.Int("rounds", 5, "how `often` each case is measured; the table has the medians")
	span := flag.Duration("time", 3*time.Second, "how `long` a round is")
	only := flag.String("only", "", "only the cases whose name holds this `text`")
	alone := flag.Bool("alone", false, "without Dovecot")
	markdown := flag.Bool("markdown", false, "print the table as Markdown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *poplin, *dir, rounds.Options{Rounds: *times, Span: *span, Only: *only}, *alone, *markdown); err != nil {
		fmt.Fprintln(os.Stderr, "pop3:", err)
		os.Exit(1)
	}
}

// run measures all cases and prints the table.
func run(ctx context.Context, poplin, dir string, opts rounds.Options, alone, markdown bool) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("it takes root, because Dovecot does")
	}
	if dir, err = os.MkdirTemp(dir, "pop3-"); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if opts.Dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the servers are nobody
		return err
	}
	if poplin == "" {
		poplin = filepath.Join(opts.Dir, "poplin")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", poplin, "./cmd/poplin")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building poplin, in the root of the module: %w\n%s", err, out)
		}
	}
	var kinds []rounds.Kind
	for program := range strings.SplitSeq(poplin, ",") {
		kinds = append(kinds, rounds.Poplin(program))
	}
	version := "without Dovecot"
	if !alone {
		kinds = append(kinds, rounds.DovecotTuned, rounds.Dovecot)
		out, _ := exec.Command("dovecot", "--version").Output()
		version = "Dovecot " + strings.TrimSpace(string(out))
	}
	fmt.Printf("%s, %s/%s, %d processors, %s, %s\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), version)
	opts.Each = func(r rounds.Result) { fmt.Println(r) }
	all, err := rounds.Measure(ctx, kinds, opts)
	if err != nil {
		return err
	}
	fmt.Println()
	return table(all, markdown)
}

// table prints a row a case and server. The ratio is that of the processor
// time to the first Dovecot's, of idle connections that of the memory.
func table(all []rounds.Result, markdown bool) error {
	header := []string{"case", "server", "/s", "p50 ms", "p99 ms", "server's CPU, µs", "kB a connection", "ratio"}
	rows := [][]string{header}
	for _, r := range all {
		rate, cpu, memory := fmt.Sprintf("%.0f", r.Rate), fmt.Sprintf("%.0f", r.CPU), "-"
		if r.Idle {
			rate, cpu, memory = "-", "-", fmt.Sprintf("%.0f", r.Memory)
		}
		rows = append(rows, []string{r.Case, r.Server, rate, fmt.Sprintf("%.2f", r.P50), fmt.Sprintf("%.2f", r.P99), cpu, memory, ratio(r, all)})
	}
	if markdown {
		for i, row := range rows {
			fmt.Printf("| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Println(strings.Repeat("|---", len(row)) + "|")
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
	}
	return w.Flush()
}

func ratio(r rounds.Result, all []rounds.Result) string {
	for _, other := range all {
		if other.Case == r.Case && other.Server == rounds.DovecotTuned.Name {
			if r.Idle {
				return fmt.Sprintf("%.2f", r.Memory/other.Memory)
			}
			return fmt.Sprintf("%.2f", r.CPU/other.CPU)
		}
	}
	return "-"
}
