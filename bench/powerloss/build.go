package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// control is Poplin with a fault of which a trial must find the harm, or it
// shows nothing.
type control struct {
	name     string
	file     string // in the module
	from, to string // the change: from stands there once
	harm     string // what must be found
}

var controls = []control{
	{
		name: "no fsync of new/",
		file: "maildrop/maildir/publish.go",
		from: `if err := p.sys.fsync(p.dirs[inNew]); err != nil {`,
		to:   `if err := error(nil); err != nil {`,
		harm: "lost",
	},
	{
		name: "no fsync of the message",
		file: "maildrop/maildir/deliver.go",
		from: `err := d.sys.fsync(d.fd)`,
		to:   `err := error(nil)`,
		harm: "torn",
	},
	{
		name: "no fsync after removal",
		file: "maildrop/maildir/relocate.go",
		from: `err = s.sys.fsync(fd)`,
		to:   `_ = fd`,
		harm: "removed and back",
	},
}

// build builds Poplin, in the root of the module, with the fault of a control
// or, for nil, without.
func build(ctx context.Context, path string, c *control) error {
	args := []string{"build", "-o", path}
	if c != nil {
		overlay, err := c.overlay(filepath.Dir(path))
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	command := exec.CommandContext(ctx, "go", append(args, "./cmd/poplin")...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building poplin, in the root of the module: %w\n%s", err, out)
	}
	return nil
}

// overlay writes the changed file into dir, and what tells the compiler of it.
func (c *control) overlay(dir string) (string, error) {
	original, err := filepath.Abs(filepath.FromSlash(c.file))
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if n := bytes.Count(text, []byte(c.from)); n != 1 {
		return "", fmt.Errorf("%s holds %q %d times and not once: the control %q must be written anew", c.file, c.from, n, c.name)
	}
	changed := filepath.Join(dir, filepath.Base(c.file))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(changed, bytes.Replace(text, []byte(c.from), []byte(c.to), 1), 0o600); err != nil {
		return "", err
	}
	return overlay, os.WriteFile(overlay, list, 0o600)
}
