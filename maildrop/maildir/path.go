package maildir

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

// template is a parsed Options.Path.
type template struct {
	root  string   // absolute; no placeholder in it
	parts []string // the components below it, with placeholders
}

// parseTemplate parses Options.Path.
func parseTemplate(path string) (*template, error) {
	wrong := func(why string) error { return fmt.Errorf("maildir: path %q %s", path, why) }
	if path == "" {
		return nil, wrong("is empty: set it to something like /var/mail/{user}")
	}
	first := strings.IndexByte(path, '{')
	if first < 0 {
		return nil, wrong("has no {user}, {local} or {domain}: every user would get one Maildir")
	}
	slash := strings.LastIndexByte(path[:first], '/') + 1
	root, err := filepath.Abs(path[:slash])
	if err != nil {
		return nil, fmt.Errorf("maildir: path %q: %w", path, err)
	}
	t := &template{root: root}
	for part := range strings.SplitSeq(path[slash:], "/") {
		rest := strings.NewReplacer("{user}", "", "{local}", "", "{domain}", "").Replace(part)
		switch {
		case part == "":
			continue // "//", or a "/" at the end
		case part == "." || part == "..":
			return nil, wrong("has a . or .. below the first placeholder")
		case strings.ContainsAny(rest, "{}"):
			return nil, wrong("has a placeholder other than {user}, {local} and {domain}")
		case strings.Count(part, "{") > 1:
			return nil, wrong("has two placeholders in one folder name: different users could get one Maildir")
		}
		t.parts = append(t.parts, part)
	}
	return t, nil
}

// expand gives the components of a maildrop's path below the root. Names come
// from a directory of accounts, but in the end from people: one that could
// lead anywhere else, or to a hidden file, is refused.
func (t *template) expand(name string) ([]string, error) {
	refuse := func(why string) ([]string, error) {
		return nil, permanent(fmt.Sprintf("maildrop name %q", name), errors.New(why))
	}
	local, domain := name, ""
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		local, domain = name[:at], name[at+1:]
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) }) {
		return refuse("it holds a slash, a backslash or a control character")
	}
	parts := make([]string, len(t.parts))
	for i, part := range t.parts {
		before, behind, found := strings.Cut(part, "{")
		if !found {
			parts[i] = part
			continue
		}
		word, after, _ := strings.Cut(behind, "}")
		value := map[string]string{"user": name, "local": local, "domain": domain}[word]
		parts[i] = before + value + after
		switch {
		case value == "":
			return refuse("its {" + word + "} is empty")
		case parts[i][0] == '.':
			return refuse("its folder would begin with a dot")
		case len(parts[i]) > 255:
			return refuse("it is longer than the name of a folder may be")
		}
	}
	return parts, nil
}
