//go:build !pam

package daemon

import (
	"errors"
	"log/slog"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
)

func openPAM(*config.Config, *slog.Logger) (directory.Source, error) {
	return nil, errors.New(`users.source: "pam" is not in this program, which is built without cgo: build with make build-pam`)
}
