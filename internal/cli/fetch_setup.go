package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch/provider"
	"github.com/poplin-mail/poplin/pop3"
	"github.com/poplin-mail/poplin/pop3client"
)

type fetchSetupCmd struct {
	fetchConfigFlag
	Address string `arg:"" optional:"" help:"The mail address. Without one it is asked for."`
	Name    string `placeholder:"NAME" help:"What the account is to be called (default: after the address)."`
	To      string `placeholder:"PLACE" help:"Where the mail goes (default: maildir:~/Mail/NAME)."`
	Keep    string `default:"all" placeholder:"POLICY" help:"What stays on the server (default: all)."`
	CAFile  string `name:"cafile" placeholder:"FILE" type:"path" help:"Trust the authorities in this PEM file instead of those of the system."`
}

// resolver is the DNS; tests have their own. Nil stands for the machine's.
var resolver provider.Resolver

// Help shows below the flags.
func (fetchSetupCmd) Help() string {
	return `Asks for an address, finds the server, tries the login, and adds a table [fetch.NAME] to the
configuration, with the password in a file of its own beside it, closed to others. Nothing is
fetched or deleted.

Example:

  poplin fetch setup anna@example.org`
}

// Run asks, tries and writes.
func (c *fetchSetupCmd) Run(ctx context.Context, t *terminal) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	t.in = sharedLines(t.in)
	if c.Address == "" {
		answer, err := askLine(t, "Mail address: ")
		if err != nil {
			return err
		}
		c.Address = answer
	}
	a := config.Account{Name: c.Name}
	if a.Name == "" {
		a.Name = accountNameOf(c.Address)
	}
	if err := config.CheckAccountName(a.Name); err != nil {
		return err
	}
	if cfg, err := c.load(); err == nil {
		for _, other := range cfg.Fetch.Accounts {
			if other.Name == a.Name {
				return fmt.Errorf("there is a [fetch.%s] in %s already: name the new one with --name", a.Name, c.Config)
			}
		}
	} else if _, missing := os.Stat(c.Config); !isMissing(missing) {
		return err
	}
	found, err := c.find(ctx, t)
	if err != nil {
		return err
	}
	password, err := c.tryLogin(ctx, t, found)
	if err != nil {
		return err
	}
	return c.write(t, a.Name, found, password)
}

// notOfName are the characters that the name of a table does not have.
var notOfName = regexp.MustCompile(`[^a-z0-9]+`)

// accountNameOf makes a name of an address.
func accountNameOf(address string) string {
	name := strings.Trim(notOfName.ReplaceAllString(strings.ToLower(address), "-"), "-")
	return name[:min(len(name), 64)]
}

// trust gives the TLS of connections.
func (c *fetchSetupCmd) trust() (*tls.Config, error) {
	return serverFlags{CAFile: c.CAFile}.trust()
}

// find looks for the server.
func (c *fetchSetupCmd) find(ctx context.Context, t *terminal) (*provider.Candidate, error) {
	trust, err := c.trust()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(t.err, "Looking for the server of %s ...\n", c.Address)
	all, err := provider.Discover(ctx, c.Address, &provider.Options{Resolver: resolver, TLSConfig: trust})
	if err != nil {
		return nil, err
	}
	found := &all[0] // the best one works, as there is no error
	fmt.Fprintf(t.err, "%s, user %s\n", found.Addr(), found.User)
	if p := found.Profile; p != nil {
		for _, text := range []string{p.NeedsSwitch, p.AppPassword, p.Note} {
			if text != "" {
				fmt.Fprintf(t.err, "%s: %s\n", p.Title, text)
			}
		}
		if p.OAuthOnly {
			return nil, fmt.Errorf("%s takes no passwords: write a [fetch.NAME] with oauth, see docs/howto/oauth.md, and run `poplin fetch login NAME`", p.Title)
		}
	}
	if found.Confirm {
		answer, err := askLine(t, "Only the DNS says that this server belongs to the address. Send the password there? (yes/no) ")
		if err != nil {
			return nil, err
		}
		if answer != "yes" {
			return nil, errors.New("nothing was sent, and nothing was written")
		}
	}
	return found, nil
}

// tryLogin asks for the password and logs in with it: by the user's name that
// the server is likely to want, and then by what stands before the @.
func (c *fetchSetupCmd) tryLogin(ctx context.Context, t *terminal, found *provider.Candidate) (string, error) {
	password, err := askOrRead(t, "Password for "+found.User+": ")
	if err != nil {
		return "", err
	}
	trust, err := c.trust()
	if err != nil {
		return "", err
	}
	dial := pop3client.Dial
	if found.Security == provider.STLS {
		dial = pop3client.DialSTLS
	}
	local, _, _ := strings.Cut(found.User, "@")
	for _, user := range []string{found.User, local} {
		var client *pop3client.Client
		if client, err = dial(ctx, found.Addr(), &pop3client.Options{TLSConfig: trust}); err != nil {
			return "", err
		}
		if err = client.Login(ctx, user, password); err == nil {
			found.User = user
			return password, client.Quit(ctx)
		}
		client.Abort()
		var refused *pop3.Error
		if !errors.As(err, &refused) || refused.Temporary() {
			break
		}
	}
	return "", fmt.Errorf("%w: nothing was written", err)
}

// write adds the account to the configuration.
func (c *fetchSetupCmd) write(t *terminal, name string, found *provider.Candidate, password string) error {
	to := c.To
	if to == "" {
		to = "maildir:~/Mail/" + name
	}
	dir := filepath.Dir(c.Config)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	secret := filepath.Join(dir, name+".password")
	if err := writeNew(secret, password+"\n"); err != nil {
		return err
	}
	table := config.Default().Fetch.Account
	table.Name, table.Server, table.Security, table.User = name, found.Addr(), string(found.Security), found.User
	table.PasswordFile, table.To, table.Keep, table.TLSCAFile = filepath.Base(secret), []string{to}, c.Keep, c.CAFile
	f, err := os.OpenFile(c.Config, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(table.TOML())
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		os.Remove(secret)
		return err
	}
	fmt.Fprintf(t.out, "%s: added to %s; `poplin fetch --dry-run %[1]s` says what would come\n", name, c.Config)
	return nil
}

// writeNew writes a file that nobody else may read, and that is not there yet.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// lineReader is a terminal's input of which lines are read one by one.
type lineReader struct {
	*bufio.Reader
	file *os.File // nil: it is none
}

func sharedLines(in any) *lineReader {
	file, _ := in.(*os.File)
	r, _ := in.(interface{ Read([]byte) (int, error) })
	return &lineReader{bufio.NewReader(r), file}
}

// askLine asks for a line.
func askLine(t *terminal, question string) (string, error) {
	fmt.Fprint(t.err, question)
	line, err := t.in.(*lineReader).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		return "", errors.Join(errors.New("no answer came: nothing was written"), err)
	}
	return line, nil
}

// askOrRead asks for a password, without echo on a terminal, and reads it from
// a pipe otherwise.
func askOrRead(t *terminal, question string) (string, error) {
	lines, shared := t.in.(*lineReader)
	file, isFile := t.in.(*os.File)
	if shared {
		file, isFile = lines.file, lines.file != nil
	}
	if isFile && term.IsTerminal(int(file.Fd())) {
		return ask(t, int(file.Fd()), question)
	}
	if shared {
		return readLine(lines.Reader)
	}
	return readLine(t.in)
}
