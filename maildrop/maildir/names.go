package maildir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Names gives the names of all Maildirs that there are, found by the folders
// that Options.Path describes, in order. Folders that are no Maildir of any
// name, or may not be read, are left out.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	root, err := os.OpenRoot(s.path.root)
	if err != nil {
		return nil, temporary("root of the Maildirs", err)
	}
	defer root.Close()
	w := &walker{path: s.path, tree: root.FS().(fs.ReadDirFS)}
	if err := w.walk(ctx, ".", 0, map[string]string{}); err != nil {
		return nil, temporary("Maildirs below "+s.path.root, err)
	}
	slices.Sort(w.names)
	return slices.Compact(w.names), nil
}

// walker looks for Maildirs.
type walker struct {
	path  *template
	tree  fs.ReadDirFS
	names []string
}

// walk looks at a folder whose path was matched up to a depth, with the values
// that placeholders had.
func (w *walker) walk(ctx context.Context, dir string, depth int, values map[string]string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth == len(w.path.parts) {
		if name, ok := w.nameOf(dir, values); ok && w.isMaildir(dir) {
			w.names = append(w.names, name)
		}
		return nil
	}
	entries, err := w.tree.ReadDir(dir)
	if depth > 0 && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
		return nil // lost+found, or gone meanwhile: nobody's mail
	}
	if err != nil {
		return err
	}
	before, rest, placeholder := strings.Cut(w.path.parts[depth], "{")
	word, after, _ := strings.Cut(rest, "}")
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || name[0] == '.' || !placeholder && name != before {
			continue
		}
		value, begins := strings.CutPrefix(name, before)
		value, ends := strings.CutSuffix(value, after)
		if placeholder && (!begins || !ends) {
			continue
		}
		known, twice := values[word]
		if placeholder && !twice {
			values[word] = value
		}
		if !placeholder || !twice || known == value {
			if err := w.walk(ctx, path.Join(dir, name), depth+1, values); err != nil {
				return err
			}
		}
		if placeholder && !twice {
			delete(values, word)
		}
	}
	return nil
}

// nameOf gives the name whose Maildir dir is.
func (w *walker) nameOf(dir string, values map[string]string) (string, bool) {
	name, whole := values["user"]
	if !whole {
		name = values["local"]
		if domain, found := values["domain"]; found {
			name += "@" + domain
		}
	}
	parts, err := w.path.expand(name)
	return name, err == nil && path.Join(parts...) == dir
}

// isMaildir tells whether a folder has what makes a Maildir.
func (w *walker) isMaildir(dir string) bool {
	for _, p := range []place{inNew, inCur} {
		if info, err := fs.Stat(w.tree, path.Join(dir, p.String())); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}
