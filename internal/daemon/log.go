package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/pop3server"
)

// NewLogger makes the logger that the configuration asks for.
func NewLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level // info, which the configuration's check excludes as the result of an error
	_ = level.UnmarshalText([]byte(cfg.Log.Level))
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == config.JSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	// The journal has a time of its own.
	return slog.New(newTextHandler(w, opts, os.Getenv("JOURNAL_STREAM") != ""))
}

// fail2banTime has milliseconds, as slog's own lines: of nine digits fail2ban
// leaves three to what follows, and then matches nothing.
const fail2banTime = "2006-01-02T15:04:05.000Z07:00"

// textHandler is slog's, but that a failed login is a line that fail2ban's
// filter for Dovecot matches: whoever had Dovecot has a jail for it.
type textHandler struct {
	slog.Handler
	w       *lockedWriter
	journal bool
	attrs   []slog.Attr
}

func newTextHandler(w io.Writer, opts *slog.HandlerOptions, journal bool) *textHandler {
	if journal {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	locked := &lockedWriter{w: w}
	return &textHandler{Handler: slog.NewTextHandler(locked, opts), w: locked, journal: journal}
}

// lockedWriter keeps lines apart.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// WithAttrs implements slog.Handler.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.Handler = h.Handler.WithAttrs(attrs)
	with.attrs = append(slices.Clip(h.attrs), attrs...)
	return &with
}

// WithGroup implements slog.Handler.
func (h *textHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.Handler = h.Handler.WithGroup(name)
	return &with
}

// Handle implements slog.Handler.
func (h *textHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message != pop3server.LoginFailed {
		return h.Handler.Handle(ctx, r)
	}
	values := map[string]string{}
	for _, a := range h.attrs {
		values[a.Key] = a.Value.String()
	}
	r.Attrs(func(a slog.Attr) bool {
		values[a.Key] = a.Value.String()
		return true
	})
	// What the client sent must not end the field that it stands in.
	user := strings.NewReplacer("<", "?", ">", "?").Replace(values["user"])
	line := fmt.Sprintf("pop3-login: Disconnected (auth failed, 1 attempts): user=<%s>, method=%s, rip=%s, tls=%s, session=<%s>\n",
		user, values["mechanism"], values["rip"], values["tls"], values["session"])
	if !h.journal {
		line = r.Time.UTC().Format(fail2banTime) + " " + r.Level.String() + " " + line
	}
	_, err := io.WriteString(h.w, line)
	return err
}
