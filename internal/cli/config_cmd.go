package cli

import (
	"fmt"

	"github.com/poplin-mail/poplin/internal/config"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say what is wrong with the configuration and the files that it names."`
	Print configPrintCmd `cmd:"" help:"Print the whole configuration, with defaults and explanations."`
}

type configPrintCmd struct {
	configFlag
	Defaults bool `help:"Print the defaults, and read no file."`
	JSON     bool `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (configPrintCmd) Help() string {
	return "Example, to begin with:\n\n  poplin config print --defaults > /etc/poplin/poplin.toml"
}

// Run prints the configuration.
func (c *configPrintCmd) Run(t *terminal) error {
	cfg := config.Default()
	if !c.Defaults {
		var err error
		if cfg, err = c.load(); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(t.out, cfg)
	}
	_, err := fmt.Fprint(t.out, cfg.TOML())
	return err
}
