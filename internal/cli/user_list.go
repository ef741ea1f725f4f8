package cli

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
)

type userListCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (userListCmd) Help() string { return "Example:\n\n  poplin user list --json" }

// Run lists the users.
func (c *userListCmd) Run(t *terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	list, err := directory.List(cfg.Users.File)
	if isMissing(err) {
		return fmt.Errorf("there is no users file %s: %s makes it", cfg.Users.File, c.advise("user add", "NAME"))
	}
	if err != nil {
		return err
	}
	apps, err := countApps(cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		out := make([]listed, len(list))
		for i, e := range list {
			out[i] = listed{e, apps[strings.ToLower(e.Name)]}
		}
		return printJSON(t.out, out)
	}
	if len(list) == 0 {
		fmt.Fprintf(t.err, "%s holds no user\n", cfg.Users.File)
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if len(apps) > 0 {
		fmt.Fprintln(w, "USER\tPASSWORD\tAPP PASSWORDS")
	} else {
		fmt.Fprintln(w, "USER\tPASSWORD")
	}
	for _, e := range list {
		password := e.Scheme
		switch {
		case e.Locked:
			password = "locked"
		case password == "":
			password = "none"
		}
		if len(apps) > 0 {
			password += "\t" + strconv.Itoa(apps[strings.ToLower(e.Name)])
		}
		fmt.Fprintf(w, "%s\t%s\n", e.Name, password)
	}
	return w.Flush()
}

// listed is a user with --json.
type listed struct {
	directory.Entry
	Apps int `json:"app_passwords"`
}

// countApps counts the app passwords of each user, by the name in lower case.
func countApps(cfg *config.Config) (map[string]int, error) {
	if cfg.Users.AppPasswords == "" {
		return nil, nil
	}
	list, err := directory.ListAppPasswords(cfg.Users.AppPasswords)
	count := make(map[string]int)
	for _, app := range list {
		count[strings.ToLower(app.User)]++
	}
	return count, err
}
