package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/daemon"
	"github.com/poplin-mail/poplin/internal/directory"
)

type configCheckCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (configCheckCmd) Help() string {
	return `Opens no socket, and asks no directory of users. The exit code
is 1 where the server would not start.

Example:

  poplin config check --config poplin.toml && systemctl restart poplin`
}

// finding is what `config check --json` prints.
type finding struct {
	File     string   `json:"file"`
	OK       bool     `json:"ok"`
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`

	users string // how many are in the users file, where there is one
}

// Run checks the configuration.
func (c *configCheckCmd) Run(t *terminal) error {
	f := finding{File: c.Config, Errors: []string{}, Warnings: []string{}}
	if cfg, err := c.load(); err != nil {
		f.Errors = strings.Split(err.Error(), "\n")
	} else {
		f.check(cfg, c.configFlag)
	}
	f.OK = len(f.Errors) == 0
	if c.JSON {
		if err := printJSON(t.out, f); err != nil {
			return err
		}
	} else {
		for _, e := range f.Errors {
			fmt.Fprintln(t.err, "error:", e)
		}
		for _, w := range f.Warnings {
			fmt.Fprintln(t.err, "warning:", w)
		}
		if f.OK {
			fmt.Fprintf(t.out, "%s: correct%s\n", c.Config, f.users)
		}
	}
	if !f.OK {
		return errReported
	}
	return nil
}

// check adds what is wrong with the files that the configuration names.
func (f *finding) check(cfg *config.Config, file configFlag) {
	f.Warnings = append(f.Warnings, cfg.Warnings()...)
	if _, err := os.Stat(cfg.Users.File); len(cfg.Fetch.Accounts) > 0 && isMissing(err) {
		return // `poplin fetch` alone is what the file is for
	}
	if slices.Contains(cfg.Users.Source, config.File) {
		f.checkUsers(cfg, file)
	}
	if len(cfg.TLS.Certificate)+len(cfg.ACME.Domains) == 0 {
		f.Warnings = append(f.Warnings, "no tls.certificate is set: a self-signed one is made, of which mail programs warn")
	}
	for _, err := range daemon.CheckFiles(cfg) {
		f.Errors = append(f.Errors, err.Error())
	}
}

// checkUsers reads the users file and counts who is in it.
func (f *finding) checkUsers(cfg *config.Config, file configFlag) {
	list, err := directory.List(cfg.Users.File)
	switch {
	case isMissing(err):
		f.Errors = append(f.Errors, fmt.Sprintf("there is no users file %s: %s makes it", cfg.Users.File, file.advise("user add", "NAME")))
	case err != nil:
		f.Errors = append(f.Errors, strings.Split(err.Error(), "\n")...)
	case len(list) == 0:
		f.Warnings = append(f.Warnings, cfg.Users.File+" holds no user: nobody can log in")
	}
	f.users = fmt.Sprintf(", with %d users", len(list))
	if len(list) == 1 {
		f.users = ", with 1 user"
	}
}
