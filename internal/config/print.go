package config

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TOML gives the whole configuration as a file that Load reads, every key
// with a comment that explains it.
func (c *Config) TOML() string {
	var b strings.Builder
	for i, s := range sections {
		if i > 0 {
			b.WriteString("\n")
		}
		if s.name != "" {
			comment(&b, s.doc)
			fmt.Fprintf(&b, "[%s]\n", s.name)
		}
		for j, k := range s.keys() {
			if j > 0 {
				b.WriteString("\n")
			}
			comment(&b, k.doc)
			if text, ok := k.field(c).(*string); ok && k.secret && *text != "" {
				fmt.Fprintf(&b, "# %s = %s\n", k.last(), quote(hidden))
				continue
			}
			fmt.Fprintf(&b, "%s = %s\n", k.last(), value(k.field(c)))
		}
		c.printNamed(&b, s)
	}
	return b.String()
}

// printNamed prints the tables that the user named, with what they do not
// inherit.
func (c *Config) printNamed(b *strings.Builder, s section) {
	c.views(func(name string, view *Config) {
		if section, _, _ := strings.Cut(name, "."); name == "" || section != s.name {
			return
		}
		fmt.Fprintf(b, "\n[%s]\n", name)
		for _, k := range s.keys() {
			switch text := value(k.field(view)); {
			case text == value(k.field(c)):
			case k.secret:
				fmt.Fprintf(b, "# %s = %s\n", k.last(), quote(hidden))
			default:
				fmt.Fprintf(b, "%s = %s\n", k.last(), text)
			}
		}
	})
}

// hidden stands for a secret that is set.
const hidden = "(not shown)"

// MarshalJSON gives the configuration with the names of the file's keys.
// Durations are strings, as in the file.
func (c *Config) MarshalJSON() ([]byte, error) {
	document := make(map[string]any)
	c.views(func(name string, view *Config) {
		for _, k := range keys {
			full := k.of(name)
			if full == k.name && name != "" || full != k.name && k.name == "fetch.parallel" {
				continue
			}
			table := tableOf(document, full[:max(0, strings.LastIndexByte(full, '.'))])
			switch v := k.field(view).(type) {
			case *time.Duration:
				table[k.last()] = short(*v)
			case *string:
				if table[k.last()] = *v; k.secret && *v != "" {
					table[k.last()] = hidden
				}
			case *[]string:
				table[k.last()] = *v
			case *bool:
				table[k.last()] = *v
			case *int:
				table[k.last()] = *v
			case *Octets:
				table[k.last()] = *v
			}
		}
	})
	return json.Marshal(document)
}

// tableOf gives the table of a section, made where there is none.
func tableOf(document map[string]any, section string) map[string]any {
	for name := range strings.SplitSeq(section, ".") {
		if name == "" {
			break
		}
		if document[name] == nil {
			document[name] = make(map[string]any)
		}
		document = document[name].(map[string]any)
	}
	return document
}

// Reference gives the page docs/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Made from internal/config by ` + "`go test ./internal/config -update`" + `. -->

` + "`poplin serve`" + ` reads one file, by default ` + "`/etc/poplin/poplin.toml`" + `, in [TOML](https://toml.io).
Every key has a default that is safe, so an empty file is a whole configuration. An unknown key is an error,
with its line and the key that was perhaps meant. Paths are relative to the folder of the file.

- ` + "`poplin config check --config FILE`" + ` says what is wrong with a file, and what deserves a second look.
- ` + "`poplin config print --config FILE`" + ` prints the whole configuration, defaults included.

The certificate and the users are read again at SIGHUP, the users also whenever their file changes.
Everything else is read at start.
`)
	c := Default()
	for _, s := range sections {
		if s.name == "" {
			b.WriteString("\n## At the top of the file\n")
		} else {
			fmt.Fprintf(&b, "\n## [%s]\n\n%s\n", s.name, s.doc)
		}
		for _, k := range s.keys() {
			fmt.Fprintf(&b, "\n### %s\n\nDefault: `%s = %s`\n\n%s\n", k.name, k.last(), value(k.field(c)), k.doc)
		}
	}
	b.WriteString("\n## The whole, with its defaults\n\n```toml\n" + c.TOML() + "```\n")
	return b.String()
}

func (s section) keys() []key {
	var in []key
	for _, k := range keys {
		if k.section() == s.name {
			in = append(in, k)
		}
	}
	return in
}

func (k key) section() string {
	return k.name[:max(0, strings.LastIndexByte(k.name, '.'))]
}

func (k key) last() string { return k.name[strings.LastIndexByte(k.name, '.')+1:] }

// value writes a field as TOML.
func value(field any) string {
	switch v := field.(type) {
	case *string:
		return quote(*v)
	case *[]string:
		quoted := make([]string, len(*v))
		for i, text := range *v {
			quoted[i] = quote(text)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case *bool:
		return strconv.FormatBool(*v)
	case *int:
		return strconv.Itoa(*v)
	case *Octets:
		return v.String()
	case *time.Duration:
		return quote(short(*v))
	}
	return ""
}

// quote writes a basic string of TOML, whose escapes are those of JSON.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// short writes a duration without units of zero: "10m" and not "10m0s".
func short(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// comment writes text as comment lines of at most 78 characters.
func comment(b *strings.Builder, text string) {
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 78 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	if line != "#" {
		b.WriteString(line + "\n")
	}
}
