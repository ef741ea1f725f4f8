package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
)

type manCmd struct {
	Page string `arg:"" optional:"" default:"poplin" help:"A command, or poplin.toml. Without one: the page of poplin."`
	Dir  string `placeholder:"DIR" type:"path" help:"Write all pages into this folder instead, each to a file named after its section."`
}

// Help shows below the flags.
func (manCmd) Help() string {
	return `Prints a manual page in the form that man(1) reads.

Examples:

  poplin man serve | man -l -
  poplin man --dir docs/man`
}

// Run prints a page or writes all.
func (c *manCmd) Run(k *kong.Context, t *terminal) error {
	pages := manPages(k.Model)
	if c.Dir != "" {
		return writePages(c.Dir, pages)
	}
	var names []string
	for _, p := range pages {
		if c.Page == p.name || "poplin-"+c.Page == p.name {
			_, err := io.WriteString(t.out, p.text)
			return err
		}
		names = append(names, strings.TrimPrefix(p.name, "poplin-"))
	}
	return fmt.Errorf("there is no page %q: there are %s", c.Page, strings.Join(names, ", "))
}

// writePages writes the pages into a folder.
func writePages(dir string, pages []manPage) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range pages {
		if err := os.WriteFile(filepath.Join(dir, p.file()), []byte(p.text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
