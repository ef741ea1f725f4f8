// Package cli is the command line of poplin: a subcommand a file. Run parses
// the arguments and runs one.
//
// What a command was asked for goes to standard output. Logs, questions and
// errors go to standard error; an error is one line that begins with
// "poplin: " and says what to do next, and holds no password.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/poplin-mail/poplin/internal/config"
)

// Exit codes of every subcommand.
const (
	exitOK      = 0 // done
	exitFailure = 1 // it could not be done, or a check failed
	exitUsage   = 2 // the command line is wrong: nothing was done
)

// errReported ends a command with exitFailure where it has said why itself.
var errReported = errors.New("reported")

// exitError ends a command with an exit code of its own.
type exitError struct {
	code int
	err  error
}

// Error implements error.
func (e *exitError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *exitError) Unwrap() error { return e.err }

// commands is the command line.
type commands struct {
	Serve    serveCmd    `cmd:"" help:"Serve POP3, as the configuration says."`
	Demo     demoCmd     `cmd:"" help:"See it work: serve a few messages on this machine, retrieve and check them."`
	User     userCmd     `cmd:"" help:"Add, change, remove and list users."`
	Fetch    fetchCmd    `cmd:"" help:"Retrieve mail from maildrops elsewhere."`
	Doctor   doctorCmd   `cmd:"" help:"Say why an account cannot be fetched, and take over what another program has fetched."`
	Deliver  deliverCmd  `cmd:"" help:"Store a message from standard input."`
	Quota    quotaCmd    `cmd:"" help:"Show how much of their quota users have taken."`
	Expire   expireCmd   `cmd:"" help:"Remove messages that are older than they may get."`
	Bucket   bucketCmd   `cmd:"" help:"Make and check the buckets of maildrops in an object store."`
	Move     moveCmd     `cmd:"" help:"Bring maildrops from Maildirs into buckets, or back."`
	Undelete undeleteCmd `cmd:"" help:"Bring back messages that were removed with undo."`
	Who      whoCmd      `cmd:"" help:"Show who is connected."`
	Kick     kickCmd     `cmd:"" help:"Cut sessions. No mail is deleted."`
	Config   configCmd   `cmd:"" help:"Check and print the configuration."`
	Check    checkCmd    `cmd:"" help:"Check any POP3 server against the RFCs."`
	Bench    benchCmd    `cmd:"" help:"Put load on any POP3 server and measure it."`
	Man      manCmd      `cmd:"" help:"Print a page of the manual."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// terminal is where a command reads and writes.
type terminal struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// Run runs the command that args name and returns the exit code. ctx ends it
// early.
func Run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var cmds commands
	var exited bool
	parser, err := newParser(&cmds,
		kong.Writers(out, errOut),
		kong.Exit(func(int) { exited = true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&terminal{in, out, errOut}),
	)
	if err != nil {
		fmt.Fprintf(errOut, "poplin: %v\n", err)
		return exitFailure
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	for _, arg := range args {
		if !utf8.ValidString(arg) { // the parser would put U+FFFD for what is wrong
			fmt.Fprintf(errOut, "poplin: the argument %q is not UTF-8\n", arg)
			return exitUsage
		}
	}
	parsed, err := parser.Parse(args)
	switch {
	case exited: // by --help
		return exitOK
	case err != nil:
		fmt.Fprintf(errOut, "poplin: %v (`%s --help` shows what there is)\n", err, reached(err))
		if args[0] == deliverCommand {
			return exitTryAgain // the sender of the message did nothing wrong
		}
		return exitUsage
	}
	var failed *exitError
	switch err := parsed.Run(); {
	case err == nil:
		return exitOK
	case errors.As(err, &failed):
		if !errors.Is(err, errReported) {
			fmt.Fprintf(errOut, "poplin: %v\n", err)
		}
		return failed.code
	case errors.Is(err, errReported):
		return exitFailure
	case errors.As(err, new(notRun)):
		fmt.Fprintf(errOut, "poplin: %v\n", err)
		return exitNotRun
	default:
		fmt.Fprintf(errOut, "poplin: %s\n", strings.ReplaceAll(err.Error(), "\n", "\npoplin: "))
		return exitFailure
	}
}

// newParser makes the parser, whose model the manual is made from too.
func newParser(cmds *commands, opts ...kong.Option) (*kong.Kong, error) {
	return kong.New(cmds, append(opts,
		kong.Name("poplin"),
		kong.Description("POP3, served and retrieved.\n\nExit codes: 0 done, 1 failed, 2 wrong command line."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 90}),
		kong.Vars{"config": defaultConfig},
	)...)
}

// defaultConfig is the configuration file where none is named.
const defaultConfig = "/etc/poplin/poplin.toml"

// configFlag is the flag of all commands that read the configuration.
type configFlag struct {
	Config string `short:"c" placeholder:"FILE" default:"${config}" env:"POPLIN_CONFIG" type:"path" help:"Configuration file (default: ${config})."`
}

func (f configFlag) load() (*config.Config, error) {
	cfg, err := config.Load(f.Config)
	if isMissing(err) {
		return nil, fmt.Errorf("there is no configuration file %s: name it with --config, or begin with `poplin config print --defaults > %s`", f.Config, f.Config)
	}
	return cfg, err
}

// advise writes a command that reads the same configuration file, for advice.
func (f configFlag) advise(command, name string) string {
	command = "poplin " + command
	if f.Config != defaultConfig {
		command += " --config " + shQuote(f.Config)
	}
	return "`" + strings.TrimSpace(command+" "+name) + "`"
}

// printJSON prints a value as JSON, indented for people who look at it.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// reached gives the command as far as it was understood.
func reached(err error) string {
	var wrong *kong.ParseError
	if errors.As(err, &wrong) && wrong.Context != nil {
		if node := wrong.Context.Selected(); node != nil {
			return node.FullPath()
		}
	}
	return "poplin"
}
