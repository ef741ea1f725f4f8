// The command fetch measures how fast `poplin fetch` brings mail from a POP3
// server into a Maildir, beside mpop, fetchmail and getmail6, as far as the
// machine has them. Each is run as a whole process, over ways to the server that
// take different times. `make bench-fetch` runs it. It counts syncs with strace,
// where that is there.
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

	"github.com/poplin-mail/poplin/bench/fetch/rounds"
)

// settings are the flags.
type settings struct {
	poplin, dir, rtt, security, only string
	alone, image                     bool
	rounds.Options
}

func main() {
	var s settings
	flag.StringVar(&s.poplin, "poplin", "", "`program` to measure; empty: the one that ./cmd/poplin builds. Several, with commas, are measured beside each other")
	flag.StringVar(&s.dir, "dir", "", "`folder` on the disk to use; empty: that for temporary files")
	flag.BoolVar(&s.image, "image", false, "use a file system of its own, ext4 in a file of that folder, as root: what others make and remove on theirs costs nobody anything then")
	flag.IntVar(&s.Messages, "messages", 1000, "how `many` messages there are")
	flag.IntVar(&s.Octets, "octets", 12_000, "`size` of a message")
	flag.IntVar(&s.Rounds, "rounds", 5, "how `often` each case is measured; the table has the medians")
	flag.StringVar(&s.rtt, "rtt", "0,20ms,100ms", "round-trip `times` of the ways to the server")
	flag.StringVar(&s.security, "security", "insecure,tls", "`how` to connect: insecure, tls, or both")
	flag.DurationVar(&s.Patience, "patience", 90*time.Second, "how `long` a run may take before it is stopped; what takes more than a quarter of that runs once")
	flag.StringVar(&s.only, "only", "", "only the peers whose name holds this `text`")
	flag.BoolVar(&s.alone, "alone", false, "without peers")
	flag.Parse()
	s.Log = func(text string) { fmt.Fprintln(os.Stderr, text) }
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

// run measures, and prints the tables.
func run(ctx context.Context, s settings) error {
	cases, err := casesOf(s)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.Dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	tools, err := toolsOf(ctx, s)
	if err != nil {
		return err
	}
	if s.image {
		mounted, unmount, err := fileSystem(s.Dir)
		if err != nil {
			return err
		}
		defer unmount()
		s.Dir = mounted
	}
	for _, d := range []string{dir, s.Dir} {
		if err := os.Chmod(d, 0o711); err != nil { // some programs are nobody
			return err
		}
	}
	fmt.Printf("%s, %s/%s, %d processors, %s; %d messages of %d octets\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), s.Messages, s.Octets)
	found := tools[:0]
	for _, t := range tools {
		version, err := t.Find()
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(t.Name, strings.TrimPrefix(version, t.Name+" "))
		found = append(found, t)
	}
	floor, err := rounds.MeasureFloor(s.Dir, s.Octets)
	if err != nil {
		return err
	}
	fmt.Printf("The disk takes %.0f such files a second, %.0f where each is synced before the next, %.0f where 16 are at the same time.\n\n",
		floor.Unsynced, floor.Single, floor.Grouped)
	results, err := rounds.Measure(ctx, cases, found, s.Options)
	if err != nil {
		return err
	}
	if err := table(results, s.Patience); err != nil {
		return err
	}
	syncs, err := rounds.CountSyncs(ctx, found, s.Options)
	if err != nil {
		return err
	}
	fmt.Println()
	for _, n := range syncs {
		fmt.Printf("%s syncs %d times: messages %d, folders of the Maildir %d, its own files %d\n", n.Tool, n.Messages+n.Folders+n.Other, n.Messages, n.Folders, n.Other)
	}
	return nil
}

// fileSystem makes one in a file below dir, and mounts it there.
func fileSystem(dir string) (mounted string, unmount func(), err error) {
	file, mounted := filepath.Join(dir, "image"), filepath.Join(dir, "mounted")
	if err := os.Mkdir(mounted, 0o755); err != nil {
		return "", nil, err
	}
	for _, command := range [][]string{{"fallocate", "-l", "12G", file}, {"mkfs.ext4", "-q", "-F", file}, {"mount", "-o", "loop", file, mounted}} {
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

// casesOf gives the cases that the flags name.
func casesOf(s settings) (all []rounds.Case, err error) {
	for security := range strings.SplitSeq(s.security, ",") {
		if security != "insecure" && security != "tls" {
			return nil, fmt.Errorf("-security is %q: insecure and tls are known", security)
		}
		for text := range strings.SplitSeq(s.rtt, ",") {
			rtt, err := time.ParseDuration(text)
			if err != nil {
				return nil, fmt.Errorf("-rtt: %w", err)
			}
			for _, deletes := range []bool{false, true} {
				all = append(all, rounds.Case{RTT: rtt, TLS: security == "tls", Delete: deletes})
			}
		}
	}
	return all, nil
}

// toolsOf gives the programs to measure, and builds poplin.
func toolsOf(ctx context.Context, s settings) (all []rounds.Tool, err error) {
	if s.poplin == "" {
		s.poplin = filepath.Join(s.Dir, "poplin")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.poplin, "./cmd/poplin")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building poplin, in the root of the module: %w\n%s", err, out)
		}
	}
	for program := range strings.SplitSeq(s.poplin, ",") {
		if program, err = filepath.Abs(program); err != nil {
			return nil, err
		}
		all = append(all, rounds.Poplin(program))
	}
	if s.alone {
		return all, nil
	}
	for _, t := range rounds.Peers() {
		if strings.Contains(t.Name, s.only) {
			all = append(all, t)
		}
	}
	return all, nil
}

// table prints a row a case and program.
func table(all []rounds.Result, patience time.Duration) error {
	yardstick := make(map[rounds.Case]time.Duration)
	for _, r := range all {
		if r.Tool == "mpop" && len(r.Runs) > 0 {
			mid, _, _ := r.Median()
			yardstick[r.Case] = mid.Wall
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tprogram\tseconds\tleast\tmost\tof mpop's\tCPU s\tpeak MB\truns\t")
	for _, r := range all {
		if len(r.Runs) == 0 {
			fmt.Fprintf(w, "%v\t%s\tfailed\t\t\t\t\t\t0\t\n", r.Case, r.Tool)
			continue
		}
		mid, least, most := r.Median()
		if mid.Late {
			fmt.Fprintf(w, "%v\t%s\t> %.0f\t\t\t\t\t%.1f\t%d\t\n", r.Case, r.Tool, patience.Seconds(), mb(mid.Peak), len(r.Runs))
			continue
		}
		ratio := "-"
		if of := yardstick[r.Case]; of > 0 {
			ratio = fmt.Sprintf("%.2f", mid.Wall.Seconds()/of.Seconds())
		}
		fmt.Fprintf(w, "%v\t%s\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%.1f\t%d\t\n", r.Case, r.Tool, mid.Wall.Seconds(), least.Seconds(), most.Seconds(),
			ratio, mid.CPU.Seconds(), mb(mid.Peak), len(r.Runs))
	}
	return w.Flush()
}

func mb(octets int64) float64 { return float64(octets) / (1 << 20) }
