package cli

import (
	"strconv"

	"github.com/mattn/go-runewidth"
)

// grouped writes a number with its thousands apart: 4,251,904.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// cutTo cuts text to a width on a terminal, on which Chinese and Japanese
// characters are two wide.
func cutTo(text string, width int) string { return runewidth.Truncate(text, width, "…") }

// padTo adds blanks up to a width on a terminal.
func padTo(text string, width int) string { return runewidth.FillRight(text, width) }
