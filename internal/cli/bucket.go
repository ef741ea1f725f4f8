package cli

import (
	"context"
	"fmt"

	"github.com/poplin-mail/poplin/internal/daemon"
)

type bucketCmd struct {
	Init  bucketInitCmd  `cmd:"" help:"Make the buckets of the configuration that are missing."`
	Check bucketCheckCmd `cmd:"" help:"Try out whether the object store may be used for maildrops."`
}

type bucketInitCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run makes buckets.
func (c *bucketInitCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	all, err := daemon.MakeBuckets(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	for _, m := range all {
		what := "was there"
		if m.Made {
			what = "made"
		}
		if _, err := fmt.Fprintf(t.out, "%s: %s\n", m.Bucket, what); err != nil {
			return err
		}
	}
	return nil
}

type bucketCheckCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (bucketCheckCmd) Help() string {
	return `Objects below poplin-check/ in the first bucket are written, listed, read and deleted,
through all endpoints of the configuration. What is found wrong is wrong: the server
does the same when it starts, and refuses such a store. A store that shows what was
written late, but not always, can pass.

Exit codes: 0 it may be used, 1 it may not, 2 wrong command line.

Example:

  poplin bucket check --config /etc/poplin/poplin.toml`
}

// bucketFinding is what --json prints of one thing.
type bucketFinding struct {
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// Run says what was found.
func (c *bucketCheckCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	found, err := daemon.CheckBucket(ctx, cfg)
	if err != nil {
		return err
	}
	all := make([]bucketFinding, len(found))
	well := true
	for i, f := range found {
		all[i] = bucketFinding{What: f.What, OK: f.Err == nil}
		word, why := "ok    ", ""
		if f.Err != nil {
			well, all[i].Error = false, f.Err.Error()
			word, why = "FAILED", ": "+f.Err.Error()
		}
		if !c.JSON {
			fmt.Fprintf(t.out, "%s %s%s\n", word, f.What, why)
		}
	}
	if c.JSON {
		if err := printJSON(t.out, all); err != nil {
			return err
		}
	}
	switch {
	case !well:
		return errReported
	case !c.JSON:
		_, err = fmt.Fprintln(t.out, "The store may be used for maildrops.")
	}
	return err
}
