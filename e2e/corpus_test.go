package e2e

import (
	"bytes"
	"fmt"
	"strings"
)

// letter is a message: as it lies in a Maildir, and as RFC 1939 sends it once
// the dots are unstuffed. The wire form is given by other means than Poplin's
// own code, so that an error in that code shows.
type letter struct {
	name   string
	stored []byte
	wire   []byte
}

// lf makes a letter of text that is stored with bare LF.
func lf(name, text string) letter {
	wire := strings.ReplaceAll(text, "\n", "\r\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		wire += "\r\n"
	}
	return letter{name, []byte(text), []byte(wire)}
}

// crlf makes a letter that is stored as it leaves.
func crlf(name, text string) letter {
	return letter{name, []byte(text), []byte(text)}
}

// head is the header of an ordinary message.
func head(subject string) string {
	return "Return-Path: <anna@example.org>\nFrom: Anna <anna@example.org>\nTo: Bela <bela@example.org>\n" +
		"Date: Mon, 23 Nov 2026 10:00:00 +0000\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@example.org>\n" +
		"Subject: " + subject + "\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
}

// corpus gives the messages that every client has to take. All are what a
// mail server may be asked to store; most break some program.
func corpus() []letter {
	longLine := strings.Repeat("0123456789", 10_000)
	letters := []letter{
		lf("plain", head("plain")+"\nHello Bela,\n\nhow are you?\n"),
		lf("dot at octet 0", ".Dotted: a field whose name begins with a dot\n"+head("dot at octet 0")+"\nbody\n"),
		lf("dots at line starts", head("dots")+"\n.\n..\n...\n.a\n..a\n. \n a.\n.\n"),
		crlf("dots stored with CRLF", strings.ReplaceAll(head("dots with crlf")+"\n.\n..\n.x\nend\n", "\n", "\r\n")),
		lf("a single dot is the body", head("single dot")+"\n.\n"),
		lf("dot without final newline", head("dot without final newline")+"\nline\n."),
		lf("no final newline", head("no final newline")+"\nthe last line has no end"),
		mixed("bare LF and CRLF mixed", head("mixed")+"\nfirst\r\nsecond\n.third\r\n..fourth\n"),
		lf("lone CR", head("lone CR")+"\nbefore\rafter\n.\rdot before a lone CR\n"),
		lf("8-bit", head("8-bit")+"\nDomány: árvíztűrő tükörfúrógép\nLatin-1: \xe1\xe9\xf5\xfb \xff\xfe\x80\n"),
		lf("NUL", head("NUL")+"\na\x00b\n\x00\n"),
		lf("long lines", head("long lines")+"\n"+longLine+"\n."+longLine+"\nend\n"),
		lf("empty body", head("empty body")+"\n"),
		lf("header only", head("header only")),
		lf("body without header", "\nthere is no header at all\n.\n"),
		lf("From_ lines", head("From_ lines")+"\nFrom here on\n>From quoted\n\nFrom anna@example.org Mon Nov 23 10:00:00 2026\nend\n"),
		lf("blank lines", head("blank lines")+"\n\n\n\n \n\t\n\n\n"),
		lf("folded", head("folded")+"X-Folded: one\n two\n\tthree\n\nbody\n"),
		lf("five megabytes", head("five megabytes")+"\n"+strings.Repeat(".a line of the large message, forty-odd octets\n", 5<<20/47)),
	}
	for i := range 40 {
		letters = append(letters, lf(fmt.Sprintf("small %d", i), head(fmt.Sprintf("small %d", i))+"\n"+strings.Repeat("x", i)+"\n"))
	}
	return letters
}

// mixed makes a letter that holds both line ends: both leave as CRLF.
func mixed(name, text string) letter {
	wire := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	return letter{name, []byte(text), []byte(wire)}
}

// late is a message that arrives after the first visit.
func late() letter {
	return lf("late", head("late")+"\ncame after the first visit\n.\n")
}

// without gives the letters of which no name stands in leave.
func without(letters []letter, leave map[string]string) []letter {
	var kept []letter
	for _, l := range letters {
		if leave[l.name] == "" {
			kept = append(kept, l)
		}
	}
	return kept
}

// difference says how the messages got differ from what each letter becomes
// by way of form, in any order; empty when they don't.
func difference(letters []letter, got [][]byte, form func(wire []byte) []byte) string {
	left := make(map[string]int)
	for _, g := range got {
		left[string(g)]++
	}
	var report strings.Builder
	for _, l := range letters {
		want := string(form(l.wire))
		if left[want] == 0 {
			fmt.Fprintf(&report, "missing or changed: %q: want %s\n", l.name, excerpt([]byte(want)))
			continue
		}
		left[want]--
	}
	for text, n := range left {
		if n > 0 {
			fmt.Fprintf(&report, "not expected, %d times: %s\n", n, excerpt([]byte(text)))
		}
	}
	return report.String()
}

// excerpt shows the length and both ends of a message.
func excerpt(b []byte) string {
	const most = 900
	if len(b) <= most {
		return fmt.Sprintf("%d octets %q", len(b), b)
	}
	return fmt.Sprintf("%d octets %q ... %q", len(b), b[:most/2], b[len(b)-most/2:])
}

// bareLF is the form in which most clients store: CRLF becomes LF.
func bareLF(wire []byte) []byte {
	return bytes.ReplaceAll(wire, []byte("\r\n"), []byte("\n"))
}
