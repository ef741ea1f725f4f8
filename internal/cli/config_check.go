package cli

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
)

type configCheckCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (configCheckCmd) Help() string {
	return `Reads the file, the users and the certificate, and opens no socket. The exit code
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
}

// Run checks the configuration.
func (c *configCheckCmd) Run(t *terminal) error {
	f := finding{File: c.Config, Errors: []string{}, Warnings: []string{}}
	users := 0
	if cfg, err := c.load(); err != nil {
		f.Errors = strings.Split(err.Error(), "\n")
	} else {
		users = f.check(cfg, c.configFlag)
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
			noun := "users"
			if users == 1 {
				noun = "user"
			}
			fmt.Fprintf(t.out, "%s: correct, with %d %s\n", c.Config, users, noun)
		}
	}
	if !f.OK {
		return errReported
	}
	return nil
}

// check adds what is wrong with the files that the configuration names, and
// counts the users.
func (f *finding) check(cfg *config.Config, file configFlag) (users int) {
	f.Warnings = append(f.Warnings, cfg.Warnings()...)
	list, err := directory.List(cfg.Users.File)
	switch {
	case isMissing(err):
		f.Errors = append(f.Errors, fmt.Sprintf("there is no users file %s: %s makes it", cfg.Users.File, file.advise("user add", "NAME")))
	case err != nil:
		f.Errors = append(f.Errors, strings.Split(err.Error(), "\n")...)
	case len(list) == 0:
		f.Warnings = append(f.Warnings, cfg.Users.File+" holds no user: nobody can log in")
	}
	if len(cfg.TLS.Certificate)+len(cfg.ACME.Domains) == 0 {
		f.Warnings = append(f.Warnings, "no tls.certificate is set: a self-signed one is made, of which mail programs warn")
	}
	for i, file := range cfg.TLS.Certificate {
		if _, err := tls.LoadX509KeyPair(file, cfg.TLS.Key[i]); err != nil {
			f.Errors = append(f.Errors, fmt.Sprintf("certificate %s with key %s: %v", file, cfg.TLS.Key[i], err))
		}
	}
	return len(list)
}
