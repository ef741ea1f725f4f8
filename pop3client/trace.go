package pop3client

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/poplin-mail/poplin/pop3"
)

// redacted stands in the trace, and in errors, where a secret was.
const redacted = "[redacted]"

// tracer writes the protocol trace: a line a command or reply, without
// secrets, fit for a terminal. Of messages it tells the number of octets.
type tracer struct {
	w   io.Writer
	log *slog.Logger
}

// on reports whether anybody reads the trace.
func (t *tracer) on() bool {
	return t.w != nil || (t.log != nil && t.log.Enabled(context.Background(), slog.LevelDebug))
}

// client traces a line to the server, server one from it.
func (t *tracer) client(line string) { t.line("C", line) }
func (t *tracer) server(line string) { t.line("S", line) }

// octets traces what a message or a TOP had.
func (t *tracer) octets(n int64) {
	if t.on() {
		t.line("S", fmt.Sprintf("[%d octets]", n))
	}
}

func (t *tracer) line(side, line string) {
	if !t.on() {
		return
	}
	line = pop3.Sanitize(line)
	if t.w != nil {
		io.WriteString(t.w, side+": "+line+"\n") // a trace that cannot be written stops no mail
	}
	if t.log != nil {
		t.log.Debug("pop3", "side", side, "line", line)
	}
}
