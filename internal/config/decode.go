package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/poplin-mail/poplin/internal/directory"
)

// position is where a key stands, from 1.
type position struct{ line, column int }

// decode sets what the file says. Its error holds all keys that are wrong, in
// the order of the file.
func (c *Config) decode(file string, data []byte) error {
	var document map[string]any
	if err := toml.Unmarshal(data, &document); err != nil {
		var syntax *toml.DecodeError
		if errors.As(err, &syntax) {
			line, column := syntax.Position()
			return fmt.Errorf("%s:%d:%d: %s", file, line, column, strings.TrimPrefix(syntax.Error(), "toml: "))
		}
		return fmt.Errorf("%s: %w", file, err)
	}
	wrong := make(map[string]error)
	c.setAll("", document, wrong)
	if len(wrong) == 0 {
		return nil
	}
	where := positions(data)
	names := slices.SortedFunc(maps.Keys(wrong), func(a, b string) int {
		pa, pb := where[a], where[b]
		if pa.line != pb.line {
			return pa.line - pb.line
		}
		return strings.Compare(a, b)
	})
	var errs []error
	for _, name := range names {
		p := where[name]
		errs = append(errs, fmt.Errorf("%s:%d:%d: %w", file, p.line, p.column, wrong[name]))
	}
	return errors.Join(errs...)
}

// setAll sets the keys of a table, and notes by name those that are wrong.
func (c *Config) setAll(prefix string, values map[string]any, wrong map[string]error) {
	var tables []string
	for last, value := range values {
		name := prefix + last
		if i := slices.IndexFunc(keys, func(k key) bool { return k.name == name }); i >= 0 {
			if err := keys[i].set(c, value); err != nil {
				wrong[name] = fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		table, isTable := value.(map[string]any)
		switch {
		case isTable && slices.ContainsFunc(sections[1:], func(s section) bool { return s.name == name }):
			c.setAll(name+".", table, wrong)
		case isTable && slices.Contains(named, strings.TrimSuffix(prefix, ".")):
			tables = append(tables, last)
		default:
			wrong[name] = unknown(name, isTable)
		}
	}
	slices.Sort(tables)
	for _, name := range tables { // behind the keys that they inherit
		c.setNamed(strings.TrimSuffix(prefix, "."), name, values[name].(map[string]any), wrong)
	}
}

// unknown makes the error for a key that does not exist, with the one that
// was perhaps meant.
func unknown(name string, isTable bool) error {
	var names []string
	for _, s := range sections[1:] {
		names = append(names, s.name)
	}
	what := "section [" + name + "]"
	if !isTable {
		what = "key " + name
		names = names[:0]
		for _, k := range keys {
			names = append(names, k.name)
		}
	}
	if guess := nearest(name, names); guess != "" {
		return fmt.Errorf("unknown %s; did you mean %s?", what, guess)
	}
	// The key may stand in the wrong section, or in none.
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, n := range names {
		if n[strings.LastIndexByte(n, '.')+1:] == last {
			return fmt.Errorf("unknown %s; did you mean %s?", what, n)
		}
	}
	return fmt.Errorf("unknown %s; `poplin config print` shows all there are", what)
}

// set puts a value of the file into its field.
func (k key) set(c *Config, value any) error {
	switch field := k.field(c).(type) {
	case *string:
		text, ok := value.(string)
		if !ok {
			return errors.New(`it must be a string, such as "text"`)
		}
		*field = text
		return k.checkText(text)
	case *[]string:
		if text, ok := value.(string); ok { // a list of one; of none where it is empty
			if *field = nil; text == "" {
				return nil
			}
			*field = []string{text}
			return k.checkText(text)
		}
		list, ok := value.([]any)
		if !ok {
			return errors.New(`it must be a string or a list of strings, such as ["first", "second"]`)
		}
		var texts []string // nil where the list is empty, however it is written
		for _, item := range list {
			text, ok := item.(string)
			if !ok {
				return errors.New(`it must be a string or a list of strings, such as ["first", "second"]`)
			}
			if err := k.checkText(text); err != nil {
				return err
			}
			texts = append(texts, text)
		}
		*field = texts
	case *bool:
		b, ok := value.(bool)
		if !ok {
			return errors.New("it must be true or false, without quotes")
		}
		*field = b
	case *int:
		n, ok := value.(int64)
		if !ok || n < k.least || n > 1<<31-1 {
			return fmt.Errorf("it must be a whole number, at least %d", k.least)
		}
		*field = int(n)
	case *Octets:
		n, err := octetsOf(value)
		if err != nil {
			return err
		}
		if n < Octets(k.least) {
			return fmt.Errorf("it must be at least %s", Octets(k.least))
		}
		*field = n
	case *time.Duration:
		text, _ := value.(string)
		d, err := Duration(text)
		if err != nil {
			return errors.New(`it must be a duration in quotes, such as "90s" or "10m"`)
		}
		if d < time.Duration(k.least) {
			return fmt.Errorf("it must be at least %q", short(time.Duration(k.least)))
		}
		*field = d
	}
	return nil
}

// Duration reads a duration in the form of the file: as time.ParseDuration,
// or in days, "30d".
func Duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("it is below zero")
	}
	return d, err
}

// octetsOf reads a size.
func octetsOf(value any) (Octets, error) {
	switch v := value.(type) {
	case int64:
		if v >= 0 {
			return Octets(v), nil
		}
	case string:
		n, err := directory.ParseOctets(v)
		return Octets(n), err
	}
	return 0, errors.New(`it must be a number of octets, or a size in quotes such as "500MiB"`)
}

// String writes a size as the file has it.
func (o Octets) String() string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := Octets(1) << (40 - 10*i); o >= size && o%size == 0 {
			return strconv.Quote(strconv.FormatInt(int64(o/size), 10) + unit)
		}
	}
	return strconv.FormatInt(int64(o), 10)
}

func (k key) checkText(text string) error {
	if k.check == nil {
		return nil
	}
	return k.check(text)
}

// positions finds where the keys and tables of a document stand. The document
// has been parsed once, so it holds no error.
func positions(data []byte) map[string]position {
	where := make(map[string]position)
	var p unstable.Parser
	p.Reset(data)
	table := ""
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = note(&p, where, "", e.Key()) + "."
		case unstable.KeyValue:
			noteValue(&p, where, table, e)
		}
	}
	return where
}

// noteValue notes a key, and those of an inline table.
func noteValue(p *unstable.Parser, where map[string]position, prefix string, e *unstable.Node) {
	name := note(p, where, prefix, e.Key())
	if v := e.Value(); v.Kind == unstable.InlineTable {
		for children := v.Children(); children.Next(); {
			noteValue(p, where, name+".", children.Node())
		}
	}
}

// note notes a dotted key and each table that it goes through.
func note(p *unstable.Parser, where map[string]position, prefix string, parts unstable.Iterator) string {
	name := strings.TrimSuffix(prefix, ".")
	var start *position
	for parts.Next() {
		n := parts.Node()
		if start == nil {
			s := p.Shape(n.Raw).Start
			start = &position{s.Line, s.Column}
		}
		if name != "" {
			name += "."
		}
		name += string(n.Data)
		if _, known := where[name]; !known {
			where[name] = *start
		}
	}
	return name
}

// nearest gives the word that differs least from text, if it differs little.
func nearest(text string, words []string) string {
	best, least := "", 1+len(text)/3
	for _, w := range words {
		if d := distance(text, w); d <= least && (best == "" || d < least) {
			best, least = w, d
		}
	}
	return best
}

// distance counts the characters to insert, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
