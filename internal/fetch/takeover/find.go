package takeover

import (
	"cmp"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Found is a file that Find found.
type Found struct {
	Path    string
	Program Program
}

// places are where the programs keep their memory, below a person's home
// folder, with wildcards as in package path.
var places = []string{
	".fetchids",
	".config/getmail/oldmail-*", ".getmail/oldmail-*",
	".mpop_uidls/*", ".local/share/mpop/*", ".local/share/*_at_*",
	".thunderbird/*/Mail/*/popstate.dat",
	".icedove/*/Mail/*/popstate.dat",
	".mozilla/seamonkey/*/Mail/*/popstate.dat",
	"snap/thunderbird/common/.thunderbird/*/Mail/*/popstate.dat",
	".var/app/org.mozilla.Thunderbird/.thunderbird/*/Mail/*/popstate.dat",
	"Library/Thunderbird/Profiles/*/Mail/*/popstate.dat",
	"AppData/Roaming/Thunderbird/Profiles/*/Mail/*/popstate.dat",
}

const (
	maxEntries = 10_000 // that are looked at in a folder
	maxFound   = 1_000  // files in all
)

// Find looks for the memory of all programs in the usual places of a home
// folder, and gives what it finds in the order of the paths. What it cannot
// read, and what a link would lead out of the home folder for, it leaves out.
func Find(home string) ([]Found, error) {
	root, err := os.OpenRoot(home)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var found []Found
	for _, place := range places {
		for _, name := range expand(root, "", place) {
			if program, ok := detectIn(root, name); ok && program != Plain && len(found) < maxFound {
				found = append(found, Found{filepath.Join(home, filepath.FromSlash(name)), program})
			}
		}
	}
	slices.SortFunc(found, func(a, b Found) int { return cmp.Compare(a.Path, b.Path) })
	return slices.Compact(found), nil
}

// expand gives the files below dir that a pattern names.
func expand(root *os.Root, dir, pattern string) []string {
	first, rest, more := strings.Cut(pattern, "/")
	names := []string{first}
	if strings.Contains(first, "*") {
		names = matching(root, dir, first)
	}
	var all []string
	for _, name := range names {
		name = path.Join(dir, name)
		switch {
		case !more:
			all = append(all, name)
		case len(all) < maxFound:
			all = append(all, expand(root, name, rest)...)
		}
	}
	return all
}

// matching gives the entries of a folder that match, of the first maxEntries.
func matching(root *os.Root, dir, pattern string) []string {
	d, err := root.OpenFile(filepath.FromSlash(cmp.Or(dir, ".")), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, err := d.Readdirnames(maxEntries)
	if err != nil && err != io.EOF {
		return nil
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		ok, err := path.Match(pattern, name)
		return err != nil || !ok
	})
	slices.Sort(names)
	return names
}

// detectIn is Detect for a file below root.
func detectIn(root *os.Root, name string) (Program, bool) {
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil || regular(f) != nil {
		return "", false
	}
	defer f.Close()
	program, err := detect(f, path.Base(name))
	return program, err == nil
}
