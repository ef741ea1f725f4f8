package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/poplin-mail/poplin/internal/conformance"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/pop3"
)

// exitNotRun is the exit code of `check` where nothing could be checked, so
// that a script tells that from a server with faults.
const exitNotRun = 3

// notRun is an error that ends a command with exitNotRun.
type notRun struct{ error }

func (e notRun) Unwrap() error { return e.error }

type checkCmd struct {
	Addr               string        `arg:"" name:"host:port" help:"The server. Without a port: 995, or 110 where --tls is not implicit."`
	User               string        `short:"u" placeholder:"NAME" help:"Log in as this user. Without it only what comes before the login is checked."`
	PasswordFile       string        `placeholder:"FILE" xor:"password" type:"path" help:"Read the password from the first line of this file."`
	PasswordCommand    string        `placeholder:"COMMAND" xor:"password" help:"Read the password from the first line that this shell command prints."`
	TLS                string        `name:"tls" enum:"implicit,stls,none" default:"implicit" help:"How the connection becomes safe: ${enum}. With none the password goes over the network in clear text."`
	CAFile             string        `name:"cafile" placeholder:"FILE" type:"path" xor:"trust" help:"Trust the certificates in this PEM file, and no others."`
	InsecureSkipVerify bool          `xor:"trust" help:"Take any certificate: whoever stands between can read the password."`
	Destructive        bool          `help:"Allow the cases that delete the last message."`
	Only               string        `placeholder:"PREFIX" help:"Run the cases whose names begin so."`
	Timeout            time.Duration `default:"30s" help:"Time for each case."`
	Verbose            bool          `short:"v" help:"Show every case, with its explanation."`
	JSON               bool          `name:"json" help:"Print JSON."`
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
		Addr: c.address(), TLS: conformance.TLSMode(c.TLS), User: c.User, Destructive: c.Destructive, Timeout: c.Timeout,
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

// address adds the port that is usual for the mode.
func (c *checkCmd) address() string {
	if _, _, err := net.SplitHostPort(c.Addr); err == nil {
		return c.Addr
	}
	port := pop3.PortTLS
	if c.TLS != string(conformance.Implicit) {
		port = pop3.Port
	}
	return net.JoinHostPort(strings.Trim(c.Addr, "[]"), fmt.Sprint(port))
}

func (c *checkCmd) trust() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", c.CAFile)
	}
	return config, nil
}

// maxPasswordFile bounds the size of a password file, in octets.
const maxPasswordFile = 1 << 20

// password reads the password from where the flags say.
func (c *checkCmd) password(ctx context.Context) (string, error) {
	var text []byte
	var err error
	switch {
	case c.PasswordFile != "":
		text, _, err = directory.ReadRegular(c.PasswordFile, maxPasswordFile)
	case c.PasswordCommand != "":
		command := exec.CommandContext(ctx, "/bin/sh", "-c", c.PasswordCommand)
		command.Stderr = os.Stderr
		if text, err = command.Output(); err != nil {
			err = fmt.Errorf("the password command failed: %w", err)
		}
	default:
		return "", nil
	}
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", errors.New("the first line of the password file, or of what the password command prints, is empty")
	}
	return line, nil
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
