package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/poplin-mail/poplin/internal/collect"
	"github.com/poplin-mail/poplin/internal/fetch"
	"github.com/poplin-mail/poplin/internal/fetch/diagnose"
	"github.com/poplin-mail/poplin/internal/fetch/takeover"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

type doctorCmd struct {
	fetchConfigFlag
	Account    string `arg:"" optional:"" help:"The NAME of a [fetch.NAME]. Without one: all, and what other programs have left in the home folder."`
	Import     string `placeholder:"FILE" type:"path" xor:"from" help:"Take what another program has downloaded for fetched: its file, of fetchmail, getmail6, mpop or Thunderbird, or a unique-id a line."`
	Rebuild    string `placeholder:"PATH" type:"path" xor:"from" help:"Take what is in a Maildir or mbox for fetched, by its headers."`
	IgnoreSize bool   `help:"With --rebuild: messages whose length differs, too."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (doctorCmd) Help() string {
	return `Explains why an account cannot be fetched, step by step, and says what the next run
would do. With --import or --rebuild a switch from another program downloads nothing
again; nothing is retrieved or deleted by it.

Exit codes: 0 all is well, 1 something is not, 2 wrong command line.

Examples:

  poplin doctor
  poplin doctor work
  poplin doctor work --import ~/.fetchids
  poplin doctor work --rebuild ~/Mail`
}

// diagnosis is what --json prints of an account.
type diagnosis struct {
	Account  string          `json:"account"`
	Steps    []diagnose.Step `json:"steps"`
	Listed   int             `json:"listed"`
	Retrieve int             `json:"retrieve"` // messages that the next run would retrieve
	Delete   int             `json:"delete"`   // and delete on the server
	Error    string          `json:"error,omitempty"`
}

func (d *diagnosis) ok() bool {
	return d.Error == "" && len(d.Steps) > 0 && d.Steps[len(d.Steps)-1].OK
}

// Run looks at accounts, or takes over what is known elsewhere.
func (c *doctorCmd) Run(ctx context.Context, t *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := c.load()
	if err != nil {
		return err
	}
	opts := collect.Options{Terminal: true, DryRun: true}
	if c.Account != "" {
		opts.Accounts = []string{c.Account}
	} else if c.Import != "" || c.Rebuild != "" {
		return errors.New("name the account that it is for")
	}
	collector, err := collect.New(cfg, opts)
	if err != nil {
		return err
	}
	defer collector.Close()
	if c.Import != "" || c.Rebuild != "" {
		return c.adopt(ctx, t, collector.Jobs[0])
	}
	well := true
	all := make([]*diagnosis, 0, len(collector.Jobs))
	for _, j := range collector.Jobs {
		d := examine(ctx, j)
		well = well && d.ok()
		if all = append(all, d); !c.JSON {
			d.print(t)
		}
	}
	if c.JSON {
		err = printJSON(t.out, all)
	} else if c.Account == "" {
		err = others(t)
	}
	if err == nil && !well {
		err = errReported
	}
	return err
}

// examine tries the login of an account, and plans its next run.
func examine(ctx context.Context, j *collect.Job) *diagnosis {
	d := &diagnosis{Account: j.Name, Steps: j.Explain(ctx)}
	if !d.ok() {
		return d
	}
	report, err := j.Run(ctx, fetch.Options{DryRun: true})
	if err != nil {
		d.Error = pop3.Sanitize(err.Error())
	}
	d.Listed = report.Listed
	for _, s := range report.Plan {
		if s.Retrieve {
			d.Retrieve++
		}
		if s.Delete {
			d.Delete++
		}
	}
	return d
}

// print says it for people.
func (d *diagnosis) print(t *terminal) {
	p := paletteFor(t.out)
	fmt.Fprintf(t.out, "%s\n", p.bold(d.Account))
	for _, s := range d.Steps {
		mark := p.green("ok ")
		if !s.OK {
			mark = p.red("not")
		}
		fmt.Fprintf(t.out, "  %s %-12s %s\n", mark, s.Name, s.Text)
		if s.Advice != "" {
			fmt.Fprintf(t.out, "  %16s %s\n", "", s.Advice)
		}
	}
	switch {
	case d.Error != "":
		fmt.Fprintf(t.out, "  %s %-12s %s\n", p.red("not"), "plan", d.Error)
	case d.ok():
		fmt.Fprintf(t.out, "  %s %-12s %s on the server: the next run fetches %d and deletes %d there\n", p.green("ok "), "plan", counted(d.Listed, "message"), d.Retrieve, d.Delete)
	}
}

// others tells of the notes of other programs.
func others(t *terminal) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	found, err := takeover.Find(home)
	for _, f := range found {
		fmt.Fprintf(t.out, "%s remembers what it has downloaded in %s: `poplin doctor ACCOUNT --import FILE` takes that over\n", f.Program, f.Path)
	}
	return err
}

// adopt takes messages for fetched that are here already.
func (c *doctorCmd) adopt(ctx context.Context, t *terminal, j *collect.Job) error {
	find := c.byHeaders
	if c.Import != "" {
		find = func(_ context.Context, _ *pop3client.Client, unknown []string) ([]fetch.Adopted, error) {
			return c.byUIDs(t, j, unknown)
		}
	}
	adopted, listed, err := j.Adopt(ctx, find)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s: %d of %s on the server are taken for fetched\n", j.Name, adopted, counted(listed, "message"))
	d := examine(ctx, j)
	d.print(t)
	return nil
}

// byUIDs finds messages in the notes of another program.
func (c *doctorCmd) byUIDs(t *terminal, j *collect.Job, unknown []string) ([]fetch.Adopted, error) {
	accounts, err := takeover.Read(c.Import)
	var damaged *takeover.DamagedError
	if errors.As(err, &damaged) {
		fmt.Fprintf(t.err, "poplin: %v: the rest is taken\n", err)
	} else if err != nil {
		return nil, err
	}
	host, port := j.Address()
	var found []fetch.Adopted
	var names []string
	for i := range accounts {
		a := &accounts[i]
		if !a.For(host, port, j.Config.User) {
			names = append(names, a.User+" at "+a.Server)
			continue
		}
		for _, s := range a.Match(unknown) {
			found = append(found, fetch.Adopted{UID: s.UID, When: s.When})
		}
	}
	if len(names) == len(accounts) && len(names) > 0 {
		return nil, fmt.Errorf("%s has nothing of %s at %s, but of %s", c.Import, j.Config.User, host, pop3.Sanitize(strings.Join(names, ", ")))
	}
	return found, nil
}

// byHeaders finds messages that are in a Maildir or mbox.
func (c *doctorCmd) byHeaders(ctx context.Context, client *pop3client.Client, unknown []string) ([]fetch.Adopted, error) {
	var index takeover.Index
	if err := index.Add(ctx, c.Rebuild); err != nil {
		return nil, err
	}
	wanted := make(map[string]bool, len(unknown))
	for _, uid := range unknown {
		wanted[uid] = true
	}
	rebuilt, err := takeover.Rebuild(ctx, client, &index, takeover.RebuildOptions{
		Skip: func(uid string) bool { return !wanted[uid] }, IgnoreSize: c.IgnoreSize})
	if err != nil {
		return nil, err
	}
	var found []fetch.Adopted
	for _, s := range rebuilt.Seen {
		found = append(found, fetch.Adopted{UID: s.UID, When: s.When})
	}
	return found, nil
}
