package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
)

type userAppPasswordCmd struct {
	Add    appPasswordAddCmd    `cmd:"" help:"Make an app password and print it."`
	List   appPasswordListCmd   `cmd:"" help:"List app passwords."`
	Remove appPasswordRemoveCmd `cmd:"" help:"Remove an app password."`
}

// loadApps loads the configuration of a command that needs the file.
func (f configFlag) loadApps() (*config.Config, error) {
	cfg, err := f.load()
	if err == nil && cfg.Users.AppPasswords == "" {
		err = errors.New("there are no app passwords, since users.app_passwords names no file in the configuration")
	}
	return cfg, err
}

// appPassword is what the commands print with --json.
type appPassword struct {
	User     string    `json:"user"`
	ID       string    `json:"id"`
	Label    string    `json:"label"`
	Created  time.Time `json:"created"`
	View     string    `json:"view"` // what differs from the server's default
	Password string    `json:"password,omitempty"`
}

func printable(app directory.AppPassword) appPassword {
	return appPassword{User: app.User, ID: app.ID, Label: app.Label, Created: app.Created, View: app.View.String()}
}

type appPasswordAddCmd struct {
	configFlag
	Name     string `arg:"" help:"The user."`
	Label    string `required:"" placeholder:"TEXT" help:"Which device or program it is for."`
	ReadOnly *bool  `negatable:"" help:"Refuse DELE from this device."`
	Keep     *bool  `negatable:"" help:"Keep mail on the server: DELE hides a message from this device only."`
	Recent   string `placeholder:"PERIOD" help:"Show only mail that came within this time, such as 30d. 0s: all."`
	Undo     string `placeholder:"PERIOD" help:"How long what this device deletes is kept aside for poplin undelete. 0s: not at all."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (appPasswordAddCmd) Help() string {
	return `The password is made by Poplin and printed once; hyphens, blanks and capitals do not
matter when it is typed. It works with USER and PASS, and with PLAIN and LOGIN. What the
flags do not say is as [views] of the configuration has it.

Example:

  poplin user app-password add anna@example.org --label phone --read-only --recent 30d`
}

// Run makes an app password.
func (c *appPasswordAddCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.loadApps()
	if err != nil {
		return err
	}
	view, err := c.view()
	if err != nil {
		return err
	}
	name, err := c.knownUser(cfg, t)
	if err != nil {
		return err
	}
	made := !exists(cfg.Users.AppPasswords)
	app, password, err := directory.AddAppPassword(ctx, cfg.Users.AppPasswords, directory.AppPassword{User: name, Label: c.Label, View: view})
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w: choose another label, or run %s first", name, err, c.advise("user app-password remove", shQuote(name)+" "+shQuote(c.Label)))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if made {
		err = giveFile(cfg, cfg.Users.AppPasswords)
	}
	done := printable(app)
	done.Password = password
	if c.JSON {
		err = errors.Join(err, printJSON(t.out, done))
	} else {
		_, printed := fmt.Fprintf(t.out, "password: %s\n", password)
		err = errors.Join(err, printed)
	}
	if err != nil {
		return fmt.Errorf("the app password was made, but: %w: %s removes it", err, c.advise("user app-password remove", shQuote(name)+" "+app.ID))
	}
	return nil
}

// view gives what the flags say of the view.
func (c *appPasswordAddCmd) view() (directory.Overrides, error) {
	var words []string
	if c.Recent != "" {
		words = append(words, "recent="+strings.ReplaceAll(c.Recent, " ", ""))
	}
	if c.Undo != "" {
		words = append(words, "undo="+strings.ReplaceAll(c.Undo, " ", ""))
	}
	view, err := directory.ParseOverrides(strings.Join(words, " "))
	view.ReadOnly, view.Keep = c.ReadOnly, c.Keep
	return view, err
}

// knownUser gives the user's name as the users file spells it. Where users
// are elsewhere the name cannot be looked up here.
func (c *appPasswordAddCmd) knownUser(cfg *config.Config, t *terminal) (string, error) {
	if !slices.Contains(cfg.Users.Source, config.File) {
		fmt.Fprintf(t.err, "note: users are in %s, so it was not checked that there is a user %s\n", strings.Join(cfg.Users.Source, ", "), c.Name)
		return c.Name, nil
	}
	list, err := directory.List(cfg.Users.File)
	if err != nil && !isMissing(err) {
		return "", err
	}
	for _, e := range list {
		if strings.EqualFold(e.Name, c.Name) {
			return e.Name, nil
		}
	}
	if len(cfg.Users.Source) > 1 {
		fmt.Fprintf(t.err, "note: %s does not hold %s, and the other sources of users were not asked\n", cfg.Users.File, c.Name)
		return c.Name, nil
	}
	return "", c.named(c.Name, directory.ErrNoUser)
}

type appPasswordListCmd struct {
	configFlag
	Name string `arg:"" optional:"" help:"Of this user only."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (appPasswordListCmd) Help() string {
	return "Example:\n\n  poplin user app-password list anna@example.org --json"
}

// Run lists app passwords.
func (c *appPasswordListCmd) Run(t *terminal) error {
	cfg, err := c.loadApps()
	if err != nil {
		return err
	}
	all, err := directory.ListAppPasswords(cfg.Users.AppPasswords)
	if err != nil {
		return err
	}
	list := []appPassword{}
	for _, app := range all {
		if c.Name == "" || strings.EqualFold(c.Name, app.User) {
			list = append(list, printable(app))
		}
	}
	if c.JSON {
		return printJSON(t.out, list)
	}
	if len(list) == 0 {
		fmt.Fprintln(t.err, "there are no app passwords")
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tID\tLABEL\tCREATED\tVIEW")
	for _, app := range list {
		view := app.View
		if view == "" {
			view = "default"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", app.User, app.ID, app.Label, app.Created.Format(time.DateOnly), view)
	}
	return w.Flush()
}

type appPasswordRemoveCmd struct {
	configFlag
	Name  string `arg:"" help:"The user."`
	Which string `arg:"" help:"The id or the label."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (appPasswordRemoveCmd) Help() string {
	return `A running server refuses the password from then on. A session that is open goes on.

Example:

  poplin user app-password remove anna@example.org phone`
}

// Run removes an app password.
func (c *appPasswordRemoveCmd) Run(ctx context.Context, t *terminal) error {
	cfg, err := c.loadApps()
	if err != nil {
		return err
	}
	err = directory.RemoveAppPassword(ctx, cfg.Users.AppPasswords, c.Name, c.Which)
	if errors.Is(err, directory.ErrNoAppPassword) {
		return fmt.Errorf("%s: %w: %s shows which there are", c.Name, err, c.advise("user app-password list", shQuote(c.Name)))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	if c.JSON {
		return printJSON(t.out, struct {
			User    string `json:"user"`
			Removed string `json:"removed"`
		}{c.Name, c.Which})
	}
	fmt.Fprintf(t.out, "the app password %s of %s was removed\n", c.Which, c.Name)
	return nil
}
