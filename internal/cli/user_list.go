package cli

import (
	"fmt"
	"text/tabwriter"

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
	if c.JSON {
		return printJSON(t.out, list)
	}
	if len(list) == 0 {
		fmt.Fprintf(t.err, "%s holds no user\n", cfg.Users.File)
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tPASSWORD")
	for _, e := range list {
		password := e.Scheme
		if e.Locked {
			password = "locked"
		}
		fmt.Fprintf(w, "%s\t%s\n", e.Name, password)
	}
	return w.Flush()
}
