package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// palette is what a terminal can show. All of it is plain where the output is
// no terminal, where NO_COLOR is set, and on a dumb terminal.
type palette struct {
	terminal bool
	width    int // characters in a line
	color    bool
}

func paletteFor(w io.Writer) palette {
	p := palette{width: 80}
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.terminal = true
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width >= 40 {
		p.width = width
	}
	p.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return p
}

func (p palette) bold(text string) string  { return p.paint("1", text) }
func (p palette) faint(text string) string { return p.paint("2", text) }
func (p palette) green(text string) string { return p.paint("32", text) }
func (p palette) red(text string) string   { return p.paint("31", text) }

func (p palette) paint(code, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
