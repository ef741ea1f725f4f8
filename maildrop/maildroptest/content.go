package maildroptest

import (
	"fmt"
	"strings"
)

// nasty are messages that implementations have got wrong.
var nasty = map[string]string{
	"plain":                  "Subject: a\r\n\r\nbody\r\n",
	"bare LF":                "Subject: a\n\nbody\n",
	"mixed line ends":        "a\r\nb\nc\r\n\nd\n",
	"dot at the first octet": ".\r\n",
	"dot alone, bare LF":     "a\n.\nb\n",
	"dots":                   "..\r\n.\r\n...a\r\n.b\n",
	"end of data inside":     "a\r\n.\r\nQUIT\r\n",
	"no final line end":      "a\r\nb",
	"no final line end, LF":  "a\nb",
	"ends in CR":             "a\r",
	"ends in CR CR LF":       "a\r\r\n",
	"lone CR":                "a\rb\rc\r\n",
	"LF CR":                  "a\n\rb\n\r\n",
	"only LF":                "\n",
	"only CRLF":              "\r\n",
	"only CR":                "\r",
	"empty lines":            "\n\n\r\n\r\n\n",
	"NUL":                    "a\x00b\r\n\x00\r\n",
	"8-bit":                  "Subject: gr\xfc\xdfe\r\n\r\n\x80\xff\xfe\n",
	"one octet":              "x",
	"no header end":          "Subject: a\r\n",
	"mbox line":              "From someone\r\n>From other\r\n",
}

// wireForm gives a message in the form of the wire, octet by octet.
func wireForm(content string) string {
	var b strings.Builder
	for i := range len(content) {
		if content[i] == '\n' && (i == 0 || content[i-1] != '\r') {
			b.WriteByte('\r')
		}
		b.WriteByte(content[i])
	}
	if content != "" && !strings.HasSuffix(content, "\n") {
		b.WriteString("\r\n")
	}
	return b.String()
}

// brief quotes the beginning of a message.
func brief(content string) string {
	const enough = 60
	if len(content) <= enough {
		return fmt.Sprintf("%q", content)
	}
	return fmt.Sprintf("%q and %d octets more", content[:enough], len(content)-enough)
}

// numbered gives n messages that differ.
func numbered(n int) []string {
	contents := make([]string, n)
	for i := range contents {
		contents[i] = fmt.Sprintf("Subject: message %d\r\n\r\n%s\r\n", i, strings.Repeat("x", i))
	}
	return contents
}
