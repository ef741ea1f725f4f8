package daemon

import (
	"io"
	"log/slog"

	"github.com/poplin-mail/poplin/internal/config"
)

// NewLogger makes the logger that the configuration asks for.
func NewLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level // info, which the configuration's check excludes as the result of an error
	_ = level.UnmarshalText([]byte(cfg.Log.Level))
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == config.JSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
