package main

import (
	"context"
	"fmt"
	"time"

	"github.com/poplin-mail/poplin/bench/ceph/cluster"
	"github.com/poplin-mail/poplin/bench/ceph/figures"
)

// polled is how many maildrops are polled.
const polled = 64

// measure starts all of it, and measures.
func measure(ctx context.Context, opts options, dir string) error {
	var users []string
	for i := range polled + 1 {
		users = append(users, fmt.Sprint("user", i))
	}
	c, err := cluster.Start(ctx, cluster.Options{Poplin: opts.poplin, Dir: dir, Nodes: opts.nodes, Users: users, Buckets: 16, Lease: 2 * time.Minute,
		Economy: opts.economy, Direct: true, Say: func(what string) { say("%s", what) }})
	if err != nil {
		return err
	}
	defer c.Kill()
	say("figures of %v each", opts.each)
	return figures.Run(ctx, figures.Options{Cluster: c, Users: users, Each: opts.each, Print: func(line string) { fmt.Println(line) }})
}
