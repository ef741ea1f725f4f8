package cli

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/poplin-mail/poplin/internal/config"
)

// manPage is a page of the manual, made from the command line's model or from
// the configuration's keys.
type manPage struct {
	name    string // "poplin-serve"
	section int
	text    string // with the macros of man(7)
}

// file is the name of the page's file.
func (p manPage) file() string { return fmt.Sprintf("%s.%d", p.name, p.section) }

// forOperators are the commands of section 8: who runs a server needs them.
var forOperators = []string{"serve", "user", "undelete", "bucket", "move", "config", "who", "kick"}

const configPage, configSection = "poplin.toml", 5

func sectionOf(command string) int {
	if slices.Contains(forOperators, command) {
		return 8
	}
	return 1
}

// manPages makes all pages: of the program, of each command with what is
// below it, and of the configuration.
func manPages(app *kong.Application) []manPage {
	pages := []manPage{overview(app)}
	for _, n := range visible(app.Node) {
		pages = append(pages, commandPage(app, n))
	}
	return append(pages, configurationPage())
}

func visible(n *kong.Node) []*kong.Node {
	return slices.DeleteFunc(slices.Clone(n.Children), func(n *kong.Node) bool { return n.Hidden })
}

func overview(app *kong.Application) manPage {
	text, exits := splitExits(app.Help)
	about, _, _ := strings.Cut(text, "\n")
	r := newRoff("poplin", 1, about)
	r.heading("SYNOPSIS")
	r.line(`\fBpoplin\fR \fICOMMAND\fR [\fIOPTION\fR]...`)
	r.heading("DESCRIPTION")
	r.prose("POP3 done completely: a server, and what belongs to it. Each command has a page of its own, and --help.")
	r.heading("COMMANDS")
	for _, n := range visible(app.Node) {
		r.item(fmt.Sprintf(`\fBpoplin\-%s\fR(%d)`, escaped(n.Name), sectionOf(n.Name)), n.Help)
	}
	r.exits(exits, exits)
	r.environment(true)
	r.heading("SEE ALSO")
	r.line(`\fBpoplin.toml\fR(5)`)
	return manPage{"poplin", 1, r.String()}
}

func commandPage(app *kong.Application, n *kong.Node) manPage {
	name, section := "poplin-"+n.Name, sectionOf(n.Name)
	r := newRoff(name, section, n.Help)
	leaves := n.Leaves(true)
	if n.Leaf() {
		leaves = []*kong.Node{n}
	}
	r.heading("SYNOPSIS")
	for i, leaf := range leaves {
		if i > 0 {
			r.line(".br")
		}
		r.synopsis(leaf)
	}
	_, exits := splitExits(app.Help)
	own := exits
	config := false
	if n.Leaf() {
		var detail string
		detail, own = splitExits(n.Detail)
		r.heading("DESCRIPTION")
		r.prose(cmp.Or(detail, n.Help))
		r.heading("OPTIONS")
		config = r.options(n)
	} else {
		r.heading("COMMANDS")
		for _, leaf := range leaves {
			r.line(".SS " + quoted("poplin "+leaf.Path()))
			r.prose(leaf.Help + "\n\n" + leaf.Detail)
			config = r.options(leaf) || config
		}
	}
	r.exits(own, exits)
	r.environment(config)
	if config {
		r.heading("FILES")
		r.item(`\fI`+escaped(defaultConfig)+`\fR`, "The configuration, where --config names no other.")
	}
	r.heading("SEE ALSO")
	r.line(`\fBpoplin\fR(1), \fBpoplin.toml\fR(5)`)
	return manPage{name, section, r.String()}
}

func configurationPage() manPage {
	r := newRoff(configPage, configSection, "The configuration of poplin serve.")
	r.heading("SYNOPSIS")
	r.line(`\fI` + escaped(defaultConfig) + `\fR`)
	r.heading("DESCRIPTION")
	r.prose(`A file in TOML. Every key has a default that is safe, so an empty file is a whole configuration. An unknown key is an error. Paths are relative to the folder of the file.

` + "`poplin config check` says what is wrong with a file. `poplin config print` prints the whole configuration, defaults included.")
	r.heading("KEYS")
	for _, s := range config.Sections() {
		if s.Name != "" {
			r.line(".SS " + quoted("["+s.Name+"]"))
			r.prose(s.Doc)
		}
		for _, k := range s.Keys {
			r.item(`\fB`+escaped(k.Name[strings.LastIndexByte(k.Name, '.')+1:])+`\fR = `+escaped(k.Default), k.Doc)
		}
	}
	r.heading("SEE ALSO")
	r.line(`\fBpoplin\fR(1), \fBpoplin\-serve\fR(8), \fBpoplin\-config\fR(8)`)
	return manPage{configPage, configSection, r.String()}
}

// exitMeaning is a row of EXIT STATUS.
type exitMeaning struct{ code, meaning string }

var (
	exitsParagraph = regexp.MustCompile(`(?s)\n*Exit codes: (.*?)\.(?:\n\n|\z)`)
	exitsEntry     = regexp.MustCompile(`(?:^|, )(\d+) `)
)

// splitExits takes the paragraph of exit codes out of a help text.
func splitExits(help string) (rest string, codes []exitMeaning) {
	at := exitsParagraph.FindStringSubmatchIndex(help)
	if at == nil {
		return help, nil
	}
	list := strings.Join(strings.Fields(help[at[2]:at[3]]), " ")
	entries := exitsEntry.FindAllStringSubmatchIndex(list, -1)
	for i, e := range entries {
		end := len(list)
		if i+1 < len(entries) {
			end = entries[i+1][0]
		}
		codes = append(codes, exitMeaning{list[e[2]:e[3]], list[e[1]:end]})
	}
	return strings.TrimSpace(help[:at[0]] + "\n\n" + help[at[1]:]), codes
}

// exits writes EXIT STATUS, from the command's own list where it has one.
func (r *roff) exits(own, usual []exitMeaning) {
	if own == nil {
		own = usual
	}
	r.heading("EXIT STATUS")
	for _, e := range own {
		r.item(`\fB`+e.code+`\fR`, strings.ToUpper(e.meaning[:1])+e.meaning[1:]+".")
	}
}

func (r *roff) environment(config bool) {
	r.heading("ENVIRONMENT")
	if config {
		r.item(`\fBPOPLIN_CONFIG\fR`, "The configuration file, where --config names none.")
	}
	r.item(`\fBNO_COLOR\fR`, "Where it is set, no colours are used.")
}

func (r *roff) synopsis(n *kong.Node) {
	text := `\fBpoplin ` + escaped(n.Path()) + `\fR`
	for _, f := range flagsOf(n) {
		entry := `\fB\-\-` + escaped(f.Name) + `\fR` + placeholder(f)
		if !f.Required {
			entry = "[" + entry + "]"
		}
		text += " " + entry
	}
	for _, p := range n.Positional {
		entry := `\fI` + escaped(strings.ToUpper(p.Name)) + `\fR`
		if p.IsCumulative() {
			entry += "..."
		}
		if !p.Required {
			entry = "[" + entry + "]"
		}
		text += " " + entry
	}
	r.line(text)
}

// options writes the arguments and flags, and reports whether there is the
// flag for the configuration.
func (r *roff) options(n *kong.Node) (config bool) {
	for _, p := range n.Positional {
		r.item(`\fI`+escaped(strings.ToUpper(p.Name))+`\fR`, p.Help)
	}
	for _, f := range flagsOf(n) {
		tag := `\fB\-\-` + escaped(f.Name) + `\fR` + placeholder(f)
		if f.Tag.Negatable != "" {
			tag = `\fB\-\-\fR[\fBno\-\fR]\fB` + escaped(f.Name) + `\fR`
		}
		if f.Short != 0 {
			tag = `\fB\-` + escaped(string(f.Short)) + `\fR, ` + tag
		}
		help := f.Help
		if f.Default != "" && !f.IsBool() && !strings.Contains(strings.ToLower(help), "default") {
			help += " Default: " + f.Default + "."
		}
		r.item(tag, help)
		config = config || f.Name == "config"
	}
	r.item(`\fB\-h\fR, \fB\-\-help\fR`, "Show what there is.")
	return config
}

// flagsOf gives the flags of a command and of those above it, without --help.
func flagsOf(n *kong.Node) []*kong.Flag {
	flags := slices.Concat(n.AllFlags(true)...)
	return slices.DeleteFunc(flags, func(f *kong.Flag) bool { return f.Name == "help" })
}

func placeholder(f *kong.Flag) string {
	if f.IsBool() {
		return ""
	}
	return ` \fI` + escaped(cmp.Or(f.PlaceHolder, strings.ToUpper(f.Name))) + `\fR`
}
