package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// reporter tells a person, or a program, how the demo goes.
type reporter interface {
	started(d *demo)
	retrieving(tlsVersion string, octets int64) progress
	checked(s summary)
	hints(d *demo)
	serving()
}

// progress follows the retrieval. The octets of every message are written to
// it as they come.
type progress interface {
	io.Writer
	message(r retrieved)
	end()
}

func newReporter(c *demoCmd, t *terminal) reporter {
	if c.JSON {
		return &jsonReport{json.NewEncoder(t.out)}
	}
	return &textReport{out: t.out, p: paletteFor(t.out)}
}

// textReport is for people.
type textReport struct {
	out io.Writer
	p   palette
}

func (r *textReport) line(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

func (r *textReport) started(d *demo) {
	made := "kept from an earlier run"
	if d.state.pair.New {
		made = "new, self-signed"
	}
	r.line("%s", r.p.bold("Poplin demo"))
	r.line("")
	for _, row := range [][2]string{
		{"certificate", d.state.pair.Certificate + " " + r.p.faint("("+made+")")},
		{"user", demoUser + ", password " + demoPassword},
		{"maildrop", fmt.Sprintf("%s %s", d.state.path(filepath.Join("mail", demoUser)), r.p.faint("(filled with "+strconv.Itoa(len(d.mail))+" messages, "+megabytes(d.octets)+")"))},
		{"POP3 over TLS", d.tls},
		{"POP3 with STLS", d.clear},
		{"log", d.state.path("poplin.log")},
	} {
		r.line("  %-15s %s", row[0], row[1])
	}
	r.line("")
}

func (r *textReport) retrieving(tlsVersion string, octets int64) progress {
	r.line("%s", r.p.bold("Retrieving over "+tlsVersion+" with Poplin's own client"))
	r.line("")
	if !r.p.terminal {
		return &lines{r: r}
	}
	bars := mpb.New(mpb.WithOutput(r.out), mpb.WithWidth(min(48, r.p.width-32)))
	bar := bars.New(octets, mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("─").Rbound(""),
		mpb.PrependDecorators(decor.Name("  ")),
		mpb.AppendDecorators(decor.CountersKiloByte(" % .1f of % .1f")))
	return &barred{lines: lines{r: r, keep: true}, bars: bars, bar: bar}
}

func (r *textReport) checked(s summary) {
	r.line("")
	result := fmt.Sprintf("%d of %d messages are identical to what was delivered", s.Identical, s.Messages)
	if s.Identical == s.Messages {
		result = r.p.green(result)
	} else {
		result = r.p.red(result)
	}
	r.line("  %s %s", result, r.p.faint(fmt.Sprintf("(%s in %.2f s)", megabytes(s.Octets), s.Seconds)))
	if s.STLS {
		r.line("  %s", r.p.green("STLS gives the same list, and takes no password before it"))
	} else {
		r.line("  %s", r.p.red("STLS gives another list"))
	}
}

func (r *textReport) serving() { r.line("%s", r.p.bold("Serving until Ctrl-C")) }

// lines prints a line a message, at once or, with keep, at the end.
type lines struct {
	r    *textReport
	keep bool
	kept []string
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) { return len(p), nil }

func (l *lines) message(m retrieved) {
	p := l.r.p
	subject := cutTo(m.Subject, min(p.width-24, 64))
	verdict := p.green("ok")
	if !m.OK {
		verdict = p.red("DIFFERS")
		subject += p.red(": " + m.Wrong)
	}
	if m.OK && p.width >= 100 {
		subject = padTo(cutTo(m.Subject, 56), 56) + "  " + p.faint(m.About)
	}
	text := fmt.Sprintf("  %3d  %9s  %s  %s", m.Number, grouped(m.Octets), verdict, subject)
	if l.keep {
		l.kept = append(l.kept, text)
		return
	}
	l.r.line("%s", text)
}

func (l *lines) end() {}

// barred draws a bar while messages come, and the lines below it then: the
// one would tear the other apart.
type barred struct {
	lines
	bars *mpb.Progress
	bar  *mpb.Bar
}

// Write implements io.Writer.
func (b *barred) Write(p []byte) (int, error) {
	b.bar.IncrBy(len(p))
	return len(p), nil
}

func (b *barred) end() {
	b.bar.Abort(false) // where the retrieval ended early; nothing after the whole
	b.bars.Wait()
	b.r.line("")
	for _, text := range b.kept {
		b.r.line("%s", text)
	}
}

// jsonReport prints an event a line.
type jsonReport struct{ enc *json.Encoder }

func (r *jsonReport) event(name string, v any) {
	_ = r.enc.Encode(struct { // a reader that left sees no more
		Event string `json:"event"`
		Data  any    `json:"data,omitempty"`
	}{name, v})
}

func (r *jsonReport) started(d *demo) {
	r.event("started", map[string]any{
		"state": d.state.dir, "certificate": d.state.pair.Certificate, "config": d.state.path("poplin.toml"),
		"user": demoUser, "password": demoPassword, "pop3": d.clear, "pop3s": d.tls,
		"messages": len(d.mail), "octets": d.octets,
	})
}

func (r *jsonReport) retrieving(string, int64) progress { return jsonProgress{r} }
func (r *jsonReport) checked(s summary)                 { r.event("checked", s) }
func (r *jsonReport) hints(*demo)                       {}
func (r *jsonReport) serving()                          { r.event("serving", nil) }

type jsonProgress struct{ r *jsonReport }

// Write implements io.Writer.
func (jsonProgress) Write(p []byte) (int, error) { return len(p), nil }
func (p jsonProgress) message(m retrieved)       { p.r.event("message", m) }
func (jsonProgress) end()                        {}

// hints prints lines to paste. The first is the example of Python's manual.
func (r *textReport) hints(d *demo) {
	host, port, _ := net.SplitHostPort(d.tls)
	cert := d.state.pair.Certificate
	r.line("")
	r.line("%s", r.p.bold("Try it yourself")+r.p.faint(", from this folder and while the demo runs"))
	r.line("")
	r.line("%s", r.p.faint("# Python: the example of poplib's manual"))
	r.line(`python3 - <<'END'
import poplib, ssl
from email.parser import BytesParser
context = ssl.create_default_context(cafile=%s)
mail = poplib.POP3_SSL(%s, %s, context=context)
mail.user(%s); mail.pass_(%s)
num_messages = len(mail.list()[1])
response, lines, octets = mail.retr(num_messages)
msg = BytesParser().parsebytes(b'\r\n'.join(lines))
mail.quit()
print(msg['Subject'], octets)
END`, pyQuote(cert), pyQuote(host), port, pyQuote(demoUser), pyQuote(demoPassword))
	r.line("")
	r.line("%s", r.p.faint("# curl: the first message"))
	r.line("curl --cacert %s --user %s:%s pop3s://%s/1", shQuote(cert), demoUser, demoPassword, d.tls)
	r.line("")
	r.line("%s", r.p.faint("# By hand: type USER demo, PASS demo, LIST, RETR 1, QUIT"))
	r.line("openssl s_client -crlf -quiet -connect %s \\\n  -CAfile %s", d.tls, shQuote(cert))
	r.line("")
}

func shQuote(text string) string {
	if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func pyQuote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

func megabytes(octets int64) string { return fmt.Sprintf("%.1f MB", float64(octets)/1e6) }
