package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/process"
)

// Confine gives up the rights of this process that serving does not take, as
// user, group and sandbox of the configuration say. program is the file of
// this program, which an upgrade executes. It is done after Listen and before
// New, so that New shows whether the rights that are left suffice.
func Confine(cfg *config.Config, program string, logger *slog.Logger) error {
	if cfg.User == "" && cfg.Group != "" {
		return fmt.Errorf("group is set to %q without user: set user too", cfg.Group)
	}
	id := process.Identity{UID: os.Geteuid(), GID: os.Getegid()}
	if cfg.User != "" {
		var err error
		if id, err = process.Lookup(cfg.User, cfg.Group); err != nil {
			return err
		}
	} else if id.UID == 0 {
		text := "the server runs as root: set user"
		if cfg.Maildrops.Store == config.Maildir {
			text += " to whom the Maildirs belong"
		}
		logger.Warn(text)
	}
	if cfg.User == "" && !cfg.Sandbox {
		return nil
	}
	if err := id.MakeFolder(cfg.State); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if cfg.User != "" {
		if err := process.Drop(id); err != nil {
			return fmt.Errorf("user = %q: %w", cfg.User, err)
		}
		logger.Info("rights dropped", "user", cfg.User, "uid", id.UID, "gid", id.GID)
	}
	if cfg.Sandbox {
		if err := process.Sandbox(rules(cfg, program), logger); err != nil {
			return err
		}
	}
	if f, err := os.Open(cfg.File); err != nil {
		logger.Warn("an upgrade (SIGUSR2) will fail: the user of the server cannot read the configuration", "error", err)
	} else {
		f.Close()
	}
	return nil
}

// rules are the folders that the configuration names.
func rules(cfg *config.Config, program string) process.Rules {
	r := process.Rules{Write: []string{cfg.State}}
	if cfg.Maildrops.Store == config.Maildir {
		r.Write = append(r.Write, AboveMaildirs(cfg.Maildrops.Path))
	}
	if cfg.Maildrops.Store == config.Bucket {
		b := &cfg.Maildrops.Bucket
		r.ReadFile(b.CAFile, b.SecretKeyFile, b.CredentialsFile)
		r.ReadFile(b.KeyFiles...)
	}
	u := &cfg.Users
	r.ReadFile(cfg.File, program, cfg.TLS.ClientCA, cfg.TLS.TicketKeys, cfg.ACME.ServerCA, u.AppPasswords, u.MasterFile, u.SecretFile)
	r.ReadFile(cfg.LMTP.Aliases)
	r.ReadFile(cfg.TLS.Certificate...)
	r.ReadFile(cfg.TLS.Key...)
	for _, source := range u.Source {
		switch source {
		case config.File:
			r.ReadFile(u.File)
		case config.SQL:
			r.ReadFile(u.SQL.DSNFile)
		case config.LDAP:
			r.ReadFile(u.LDAP.CAFile, u.LDAP.BindPasswordFile)
		case config.OAuth:
			r.ReadFile(u.OAuth.CAFile, u.OAuth.ClientSecretFile)
		}
	}
	if slices.Contains(u.Source, config.SQL) && u.SQL.Driver == config.SQLite {
		if path, err := sqlDSN(cfg); err == nil { // New says what is wrong
			var file process.Rules
			file.ReadFile(path)
			r.Write = append(r.Write, file.Read...) // SQLite keeps its journal next to the database
		}
	}
	return r
}
