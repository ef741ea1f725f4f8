// The command ceph builds Poplin and tries it on a Ceph of its own: see package
// trial for what is killed and stopped, and what must hold, and package cluster
// for what runs. With -figures it measures instead: see package figures. It
// takes Debian's ceph-mon, ceph-mgr, ceph-osd, radosgw and haproxy, and root.
//
// `make test-ceph` runs it. It ends with 1 if mail was harmed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/poplin-mail/poplin/bench/ceph/cluster"
	"github.com/poplin-mail/poplin/bench/ceph/trial"
)

// options are the flags.
type options struct {
	poplin  string
	dir     string
	keep    bool
	kills   int
	time    time.Duration
	nodes   int
	users   int
	seed    uint64
	economy bool
	figures bool
	each    time.Duration
}

func main() {
	var opts options
	flag.StringVar(&opts.poplin, "poplin", "", "`program` to try; empty: the one that ./cmd/poplin builds")
	flag.StringVar(&opts.dir, "dir", "", "`folder` for files, with a short path; empty: that for temporary files")
	flag.BoolVar(&opts.keep, "keep", false, "leave the files where they are, logs among them")
	flag.IntVar(&opts.kills, "kills", 21, "how many `times` to kill or stop something; some 25 seconds each")
	flag.DurationVar(&opts.time, "time", time.Minute, "how `long` mail moves at least")
	flag.IntVar(&opts.nodes, "nodes", 3, "how many `servers`, nine at most")
	flag.IntVar(&opts.users, "users", 6, "how many `maildrops`")
	flag.Uint64Var(&opts.seed, "seed", 0, "`number` that messages, sizes and moments follow from; 0: one by chance")
	flag.BoolVar(&opts.economy, "economy", false, "with maildrops.bucket.economy; sessions then hold a maildrop later than their logins say, and double holders are not looked for")
	flag.BoolVar(&opts.figures, "figures", false, "measure, in place of killing anything")
	flag.DurationVar(&opts.each, "each", 20*time.Second, "with -figures: how `long` a measurement lasts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "ceph:", err)
		os.Exit(1)
	}
}

// begun is when this program began.
var begun = time.Now()

// say prints a line with the time.
func say(format string, args ...any) {
	fmt.Printf("%4.0f s: %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
}

// run makes a folder, and the program that is tried.
func run(ctx context.Context, opts options) (err error) {
	if opts.nodes < 1 || opts.nodes > 9 || opts.users < 1 {
		return errors.New("there are 1 to 9 nodes, and 1 maildrop or more")
	}
	versions, err := cluster.Versions(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(opts.dir, "ceph-")
	if err != nil {
		return err
	}
	if opts.keep {
		fmt.Println("files are in", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if opts.poplin == "" {
		opts.poplin = filepath.Join(dir, "poplin")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", opts.poplin, "./cmd/poplin")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building poplin, in the root of the module: %w\n%s", err, out)
		}
	}
	if opts.poplin, err = filepath.Abs(opts.poplin); err != nil {
		return err
	}
	if opts.seed == 0 {
		opts.seed = rand.Uint64()
	}
	fmt.Printf("%s, %s/%s, %d processors, %s, %s, seed %d\n", begun.UTC().Format(time.DateOnly),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), versions, opts.seed)
	if opts.figures {
		return measure(ctx, opts, dir)
	}
	return try(ctx, opts, dir)
}

// lease is short, so that a trial need not last long.
const lease = 10 * time.Second

// try starts all of it, and has pieces killed.
func try(ctx context.Context, opts options, dir string) error {
	var users []string
	for i := range opts.users {
		users = append(users, fmt.Sprint("user", i))
	}
	c, err := cluster.Start(ctx, cluster.Options{Poplin: opts.poplin, Dir: dir, Nodes: opts.nodes, Users: users, Buckets: 16, Lease: lease,
		Economy: opts.economy, Say: func(what string) { say("%s", what) }})
	if err != nil {
		return err
	}
	defer c.Kill()
	say("nodes")
	if err := c.StartNodes(ctx); err != nil {
		return err
	}
	var nodes []trial.Node
	for _, n := range c.Nodes {
		nodes = append(nodes, n)
	}
	say("mail moves")
	result, err := trial.Run(ctx, trial.Options{LMTP: c.LMTP(), POP3: c.POP3(), Users: users, Password: cluster.Password, Lease: lease,
		Nodes: nodes, Kinds: []trial.Pieces{{Kind: "OSD", All: pieces(c.OSDs())}, {Kind: "gateway", All: pieces(c.Gateways())}}, Seed: opts.seed,
		Kills: opts.kills, Time: opts.time, Deliverers: 4, Pollers: 2, DeliveryPause: 200 * time.Millisecond, PollPause: 400 * time.Millisecond,
		Calm: 4 * time.Second, Away: 6 * time.Second, Economy: opts.economy, Leftovers: leftovers(c), Progress: func(what string, counts trial.Counts) { say("%v; %s", counts, what) }})
	err = errors.Join(err, c.Ended())
	for _, n := range c.Nodes {
		err = errors.Join(err, n.Ended())
	}
	if result != nil {
		fmt.Printf("\nafter %.0f s, seed %d:\n%s", time.Since(begun).Seconds(), opts.seed, result.Summary())
	}
	if err != nil {
		return err
	}
	return result.Verdict()
}

func pieces(all []cluster.Piece) (same []trial.Piece) {
	for _, p := range all {
		same = append(same, trial.Piece(p))
	}
	return same
}

// leftovers looks for messages of a user in all buckets.
func leftovers(c *cluster.Cluster) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, user string) (keys []string, err error) {
		engine, err := c.Engine(0)
		if err != nil {
			return nil, err
		}
		defer engine.Close()
		for _, name := range c.Buckets() {
			for after := ""; ; {
				page, err := engine.List(ctx, name, "", after, 1000)
				if err != nil {
					return nil, err
				}
				for _, e := range page.Entries {
					if after = e.Key; strings.Contains(e.Key, "/"+user+"/m/") {
						keys = append(keys, name+"/"+e.Key)
					}
				}
				if !page.More {
					break
				}
			}
		}
		return keys, nil
	}
}
