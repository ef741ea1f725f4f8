package pop3test

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/poplin-mail/poplin/pop3"
)

// A text of a transcript with its placeholders: what to send for it, and
// whether what came is what it stands for.

// placeholder finds what stands for something else. In lines of content the
// three dots are no placeholder.
var placeholder = regexp.MustCompile(` ?\.\.\.|\{any:[^}]*\}|\{uid:[0-9]+\}|\{timestamp\}|\{apop:[^}]*\}`)

// timestampForm is the timestamp of RFC 1939 section 7 as clients look for
// it: <digits.digits@host>.
const timestampForm = `(<[0-9]+\.[0-9]+@[A-Za-z0-9.\-]+>)`

// names keeps what placeholders stand for on one connection.
type names struct {
	uids      []string          // by message number, from 1
	texts     map[string]string // of {any:NAME}
	timestamp string
}

// pieces cuts a text into literal octets and placeholders, in turns: the
// elements with an even index are literal.
func pieces(text string, status bool) ([]string, error) {
	var out []string
	from := 0
	for _, at := range placeholder.FindAllStringIndex(text, -1) {
		found := text[at[0]:at[1]]
		if strings.HasSuffix(found, "...") && !status {
			continue
		}
		literal, err := unescape(text[from:at[0]])
		if err != nil {
			return nil, err
		}
		out = append(out, string(literal), found)
		from = at[1]
	}
	literal, err := unescape(text[from:])
	return append(out, string(literal)), err
}

// checkText finds faults in the text of a line before it is played.
func checkText(st step) error {
	parts, err := pieces(st.text, st.status())
	if err != nil {
		return err
	}
	for i := 1; i < len(parts); i += 2 {
		if client := strings.HasPrefix(parts[i], "{apop:"); client != (st.side == 'C') {
			return fmt.Errorf("%s cannot stand on side %c", parts[i], st.side)
		}
	}
	return nil
}

// render gives the octets to be sent for a step, whole lines with their CRLF.
func (n *names) render(st step) []byte {
	if st.kind == '-' {
		return nil
	}
	parts, _ := pieces(st.text, st.status()) // checked by ParseScript
	var b bytes.Buffer
	for i, part := range parts {
		if i%2 == 1 {
			part = n.stand(part)
		}
		b.WriteString(part)
	}
	if st.kind != '|' {
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// stand gives what a scripted peer sends for a placeholder.
func (n *names) stand(part string) string {
	kind, arg, _ := strings.Cut(strings.Trim(part, "{}"), ":")
	switch kind {
	case "any":
		return "text of " + arg
	case "uid":
		return n.uid(arg)
	case "timestamp":
		n.timestamp = "<1896.697170952@pop.example>"
		return n.timestamp
	case "apop":
		return pop3.APOPDigest(n.timestamp, arg)
	}
	return " at your service"
}

func (n *names) uid(number string) string {
	i, err := strconv.Atoi(number)
	if err != nil || i < 1 || i > len(n.uids) {
		return "no-message-" + number
	}
	return n.uids[i-1]
}

// match reports how the line that came, without its CRLF, differs from what
// the step stands for. Placeholders that are new get their meaning.
func (n *names) match(st step, line []byte) error {
	parts, _ := pieces(st.text, st.status()) // checked by ParseScript
	if len(parts) == 1 {
		if string(line) != parts[0] {
			return fmt.Errorf("got %s", show(line))
		}
		return nil
	}
	var expr strings.Builder
	for i, part := range parts {
		switch {
		case i%2 == 0:
			expr.WriteString(quote(part))
		case part == "{timestamp}":
			expr.WriteString(timestampForm)
		case strings.HasPrefix(part, "{uid:"), strings.HasPrefix(part, "{apop:"):
			expr.WriteString("(" + quote(n.stand(part)) + ")")
		default:
			expr.WriteString("(.*?)")
		}
	}
	re, err := regexp.Compile(`(?s)\A` + expr.String() + `\z`)
	if err != nil {
		return err
	}
	found := re.FindSubmatch(latin1(line))
	if found == nil {
		return fmt.Errorf("got %s", show(line))
	}
	for i := 1; i < len(parts); i += 2 {
		if err := n.bind(parts[i], string(found[(i+1)/2])); err != nil {
			return fmt.Errorf("got %s: %w", show(line), err)
		}
	}
	if st.status() && len(line)+2 > pop3.MaxReplyLine {
		return fmt.Errorf("status line of %d octets, where RFC 2449 section 4 allows %d", len(line)+2, pop3.MaxReplyLine)
	}
	return nil
}

// bind checks what stood in the place of a placeholder, and keeps it.
func (n *names) bind(part, value string) error {
	switch {
	case part == "{timestamp}":
		n.timestamp = value
	case strings.HasPrefix(part, "{any:"):
		if old, known := n.texts[part]; known && old != value {
			return fmt.Errorf("%s was %q before", part, old)
		}
		n.texts[part] = value
		return freeText(value)
	case strings.HasSuffix(part, "..."):
		if part[0] == ' ' && value != "" && value[0] != ' ' {
			return fmt.Errorf("no blank before the text")
		}
		return freeText(strings.TrimPrefix(value, " "))
	}
	return nil
}

// freeText reports whether s may stand for "...".
func freeText(s string) error {
	if code, _ := pop3.CutCode(s); code != "" {
		return fmt.Errorf("response code [%s], where none is due", code)
	}
	if ts := pop3.Timestamp(s); ts != "" {
		return fmt.Errorf("timestamp %s, where none is due", ts)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return fmt.Errorf("octet 0x%02X in text for people", s[i])
		}
	}
	return nil
}

// quote and latin1 let regular expressions, which know only UTF-8, match
// octets: each octet becomes the character of that number.
func quote(s string) string { return regexp.QuoteMeta(string(latin1([]byte(s)))) }

func latin1(b []byte) []byte {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return []byte(string(runes))
}

// show quotes octets for a message of error, and not too many of them.
func show(b []byte) string {
	const limit = 200
	if len(b) > limit {
		return fmt.Sprintf("%q and %d octets more", b[:limit], len(b)-limit)
	}
	return fmt.Sprintf("%q", b)
}
