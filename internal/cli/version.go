package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help shows below the flags.
func (versionCmd) Help() string { return "Example:\n\n  poplin version --json" }

// build says what this program was built from.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Changed bool   `json:"changed,omitempty"` // built from files that differ from the commit
	Date    string `json:"date,omitempty"`    // of the commit
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// Run prints the version.
func (c *versionCmd) Run(t *terminal) error {
	b := build{Version: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			b.Version = v
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Date = s.Value
			case "vcs.modified":
				b.Changed = s.Value == "true"
			}
		}
	}
	if c.JSON {
		return printJSON(t.out, b)
	}
	line := "poplin " + b.Version
	if b.Commit != "" {
		line += ", commit " + b.Commit[:min(12, len(b.Commit))]
		if b.Changed {
			line += " with changes"
		}
	}
	_, err := fmt.Fprintf(t.out, "%s, %s %s/%s\n", line, b.Go, b.OS, b.Arch)
	return err
}
