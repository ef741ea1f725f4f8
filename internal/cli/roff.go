package cli

import (
	"fmt"
	"regexp"
	"strings"
)

// roff writes a manual page with the macros of man(7).
type roff struct{ strings.Builder }

// newRoff begins a page. There is no date in it: it would differ with every
// build.
func newRoff(name string, section int, about string) *roff {
	r := new(roff)
	r.line(".\\\" Made from Poplin's own help by `make man`.")
	r.line(fmt.Sprintf(`.TH %s %d "" "Poplin" "Poplin"`, quoted(strings.ToUpper(name)), section))
	r.heading("NAME")
	r.line(escaped(name) + ` \- ` + escaped(strings.TrimSuffix(about, ".")))
	return r
}

func (r *roff) line(text string) { r.WriteString(text + "\n") }

func (r *roff) heading(text string) { r.line(".SH " + quoted(text)) }

// item writes a paragraph below a tag, which holds requests already.
func (r *roff) item(tag, text string) {
	r.line(".TP\n" + tag)
	r.line(inline(text))
}

// prose writes paragraphs of a help text. Those that are indented are shown
// as they are.
func (r *roff) prose(text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if paragraph = strings.Trim(paragraph, "\n"); paragraph == "" {
			continue
		}
		if i > 0 {
			r.line(".PP")
		}
		if !strings.HasPrefix(paragraph, "  ") {
			r.line(inline(paragraph))
			continue
		}
		r.line(".RS 4\n.nf")
		for line := range strings.SplitSeq(paragraph, "\n") {
			r.line(escaped(strings.TrimPrefix(line, "  ")))
		}
		r.line(".fi\n.RE")
	}
}

var code = regexp.MustCompile("`([^`]*)`")

// inline writes text in one paragraph, with `code` in bold.
func inline(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return code.ReplaceAllString(escaped(text), `\fB$1\fR`)
}

// escaped writes text that holds no requests: hyphens that can be copied, and
// no line that begins with a control character.
func escaped(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// quoted writes an argument of a macro.
func quoted(text string) string { return `"` + strings.ReplaceAll(escaped(text), `"`, `\(dq`) + `"` }
