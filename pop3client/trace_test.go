package pop3client

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/poplin-mail/poplin/sasl"
)

// The trace tells what passed, and nothing that is secret or hurts a terminal.
func TestTrace(t *testing.T) {
	var trace, log strings.Builder
	opts := &Options{InsecureAuth: true, Trace: &trace,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	c, err := New(t.Context(), dialScript(t, `
		S: +OK hello `+"\x1b[1m"+` <1.2@h>
		C: APOP u 37dc48d6f4fea7df220a917a6ae8c9e6
		S: -ERR no 37dc48d6f4fea7df220a917a6ae8c9e6
		C: USER u
		S: +OK
		C: PASS sesame
		S: -ERR not sesame
		C: CAPA
		S: +OK
		S: SASL LOGIN
		S: ..x
		S: .
		C: AUTH LOGIN
		S: + VXNlcm5hbWU6
		C: dXNlcg==
		S: + UGFzc3dvcmQ6
		C: c2VzYW1l
		S: +OK welcome c2VzYW1l
		C: RETR 1
		S: +OK
		S: private
		S: .
		C: CAPA
		S: +OK
		S: .
		C: DELE 1
		S: +OK
		C: DELE 2
		S: +OK
	`), opts)
	must(t, err)
	t.Cleanup(func() { c.Abort() })
	ctx := t.Context()
	for _, err := range []error{c.Apop(ctx, "u", "sesame"), c.User(ctx, "u"), c.Pass(ctx, "sesame"), c.Auth(ctx, sasl.NewLoginClient("user", "sesame"))} {
		if err != nil && !isRefusal(err) {
			t.Fatal(err)
		}
	}
	m, err := c.Retr(ctx, 1)
	must(t, err)
	_, err = m.WriteTo(io.Discard)
	must(t, err)
	must(t, c.Dele(ctx, 1, 2))
	want := `S: +OK hello ?[1m <1.2@h>
C: APOP u [redacted]
S: -ERR no [redacted]
C: USER u
S: +OK
C: PASS [redacted]
S: -ERR not [redacted]
C: CAPA
S: +OK
S: SASL LOGIN
S: ..x
S: .
C: AUTH LOGIN
S: + [redacted]
C: [redacted]
S: + [redacted]
C: [redacted]
S: +OK welcome [redacted]
C: RETR 1
S: +OK
S: [9 octets]
C: CAPA
S: +OK
S: .
C: DELE 1
S: +OK
C: DELE 2
S: +OK
`
	if trace.String() != want {
		t.Errorf("the trace is\n%s\nwant\n%s", trace.String(), want)
	}
	for _, secret := range []string{"sesame", "c2VzYW1l", "37dc48d6", "private"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), `side=C line="PASS [redacted]"`) {
		t.Errorf("the log is\n%s", log.String())
	}
}

// A logger that is not at level debug is not asked, and a trace that cannot be
// written stops nothing.
func TestTraceOff(t *testing.T) {
	var log strings.Builder
	c := connectWith(t, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Trace: brokenWriter{}}, "C: NOOP\nS: +OK")
	must(t, c.Noop(t.Context()))
	if log.Len() > 0 {
		t.Errorf("logged %q", log.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }
