package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/conformance"
)

// exitNotRun is the exit code of `check` where nothing could be checked, so
// that a script tells that from a server with faults.
const exitNotRun = 3

// notRun is an error that ends a command with exitNotRun.
type notRun struct{ error }

func (e notRun) Unwrap() error { return e.error }

type checkCmd struct {
	Addr string `arg:"" name:"host:port" help:"The server. Without a port: 995, or 110 where --tls is not implicit."`
	User string `short:"u" placeholder:"NAME" help:"Log in as this user. Without it only what comes before the login is checked."`
	loginFlags
	serverFlags
	Destructive bool          `help:"Allow the cases that delete the last message."`
	Only        string        `placeholder:"PREFIX" help:"Run the cases whose names begin so."`
	Timeout     time.Duration `default:"30s" help:"Time for each case."`
	Verbose     bool          `short:"v" help:"Show every case, with its explanation."`
	JSON        bool          `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (checkCmd) Help() string {
	return `Runs over a hundred small sessions, each with its section of the RFCs. No mail is
deleted unless --destructive is given: a session that marks a message never ends in
QUIT. About ten logins with wrong credentials are tried, which some servers count
against the address that they come from.

A case weighs "must" (an RFC demands it, and clients or mail come to harm without it),
"should" (an RFC or safety recommends it) or "habit" (clients in use rely on it).

Exit codes: 0 every "must" holds, 1 one failed, 2 wrong command line, 3 nothing could
be checked.

Example:

  poplin check pop.example.org --user alice --password-command 'pass show mail'`
}

// Validate is called by kong behind parsing.
func (c *checkCmd) Validate() error {
	hasPassword := c.PasswordFile != "" || c.PasswordCommand != ""
	switch {
	case c.User != "" && !hasPassword:
		return errors.New("--user needs --password-file or --password-command")
	case c.User == "" && hasPassword:
		return errors.New("a password needs --user")
	case c.Timeout <= 0:
		return errors.New("--timeout must be above zero")
	case len(c.cases()) == 0:
		return fmt.Errorf("no case begins with %q", c.Only)
	}
	return nil
}

// Run checks the server.
func (c *checkCmd) Run(ctx context.Context, t *terminal) error {
	target := conformance.Target{
		Addr: c.address(c.Addr), TLS: conformance.TLSMode(c.TLS), User: c.User, Destructive: c.Destructive, Timeout: c.Timeout,
	}
	var err error
	if target.TLSConfig, err = c.trust(); err != nil {
		return notRun{err}
	}
	if target.Password, err = c.password(ctx); err != nil {
		return notRun{err}
	}
	if c.User == "" {
		fmt.Fprintln(t.err, "without --user only what comes before the login is checked")
	}
	p := paletteFor(t.out)
	if !c.JSON {
		target.Each = func(r conformance.Result) { c.printResult(t, p, r) }
	}
	report, err := conformance.Run(ctx, target, c.cases())
	switch {
	case err != nil:
		return notRun{fmt.Errorf("cannot check %s: %w", target.Addr, err)}
	case c.JSON:
		err = printJSON(t.out, report)
	default:
		printSummary(t, p, report)
	}
	if err == nil && !report.Conforms() {
		err = errReported
	}
	return err
}

func (c *checkCmd) cases() []conformance.Case {
	var cases []conformance.Case
	for _, one := range conformance.Cases() {
		if strings.HasPrefix(one.Name, c.Only) {
			cases = append(cases, one)
		}
	}
	return cases
}

// printResult shows a case: a failed one with what was seen, others where
// everything is asked for.
func (c *checkCmd) printResult(t *terminal, p palette, r conformance.Result) {
	failed := r.Outcome == conformance.Fail
	if !failed && !c.Verbose {
		return
	}
	mark := map[conformance.Outcome]string{
		conformance.Pass: p.green("pass"), conformance.Fail: p.red("FAIL"), conformance.NotApplicable: p.faint("n/a "),
	}[r.Outcome]
	fmt.Fprintf(t.out, "%s  %s  %s  %s\n", mark, padTo(string(r.Severity), 6), p.bold(padTo(r.Name, 27)), p.faint(r.Section))
	if r.Detail != "" {
		fmt.Fprintf(t.out, "      %s\n", r.Detail)
	}
	fmt.Fprintf(t.out, "      %s\n", p.faint(r.Why))
	for _, line := range r.Seen {
		fmt.Fprintf(t.out, "        %s\n", p.faint(line))
	}
	if failed {
		fmt.Fprintln(t.out)
	}
}

func printSummary(t *terminal, p palette, r conformance.Report) {
	name := r.Implementation
	if name == "" {
		name = r.Greeting
	}
	fmt.Fprintf(t.out, "%s (%s), %d messages\n", p.bold(r.Addr), name, r.Messages)
	for _, severity := range []conformance.Severity{conformance.Must, conformance.Should, conformance.Habit} {
		line := fmt.Sprintf("%3d passed, %2d failed, %2d not applicable",
			r.Count(severity, conformance.Pass), r.Count(severity, conformance.Fail), r.Count(severity, conformance.NotApplicable))
		if r.Count(severity, conformance.Fail) > 0 {
			line = p.red(line)
		}
		fmt.Fprintf(t.out, "  %s  %s\n", padTo(string(severity), 6), line)
	}
}
