//go:build pam

package daemon

import (
	"fmt"
	"log/slog"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/directory/pamusers"
)

func openPAM(cfg *config.Config, logger *slog.Logger) (directory.Source, error) {
	source, err := pamusers.New(pamusers.Options{Service: cfg.Users.PAM.Service, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("users.pam: %w", err)
	}
	return source, nil
}
