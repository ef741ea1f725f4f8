package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/delivery"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/process"
	"github.com/poplin-mail/poplin/maildrop"
)

// intake takes mail in; its zero value takes none.
type intake struct {
	addresses *directory.Addresses
	server    *delivery.Server
	why       error // there is none
}

// newIntake assembles what LMTP needs. Without lmtp.listen it may be needed
// all the same: systemd may hand over a socket.
func (d *Daemon) newIntake() error {
	agent, err := newAgent(d.cfg, d.users, d.store, d.log)
	if err != nil && len(d.cfg.LMTP.Listen) == 0 {
		d.intake.why = err
		return nil
	} else if err != nil {
		return err
	}
	agent.Observer = d.operator.metrics.Intake()
	over := 0
	if d.cfg.Quota.Over == config.Permanent {
		over = delivery.OverQuotaPermanent
	}
	d.intake.addresses = agent.Addresses
	d.intake.server = delivery.NewServer(delivery.Options{
		Agent:      agent,
		Trusted:    networks(d.cfg.LMTP.Trusted),
		TLSConfig:  d.certs.Config(),
		MaxMessage: int64(d.cfg.LMTP.MaxMessage),
		Sessions:   d.cfg.LMTP.Sessions,
		OverQuota:  over,
	})
	return nil
}

// guesses gives the source of users that takes every name for a user's, since
// it can tell only by a password; empty: there is none.
func guesses(cfg *config.Config) string {
	ldap := &cfg.Users.LDAP
	for _, source := range cfg.Users.Source {
		switch {
		case source == config.PAM:
			return `users.source = "pam"`
		case source == config.LDAP && ldap.UserDN != "" &&
			ldap.BindDN+ldap.NameAttribute+ldap.PasswordAttribute+ldap.MaildropAttribute+ldap.QuotaAttribute == "":
			return "users.ldap.user_dn without users.ldap.bind_dn"
		}
	}
	return ""
}

// newAgent makes what stores messages.
func newAgent(cfg *config.Config, users *directory.Directory, store maildrop.Store, logger *slog.Logger) (*delivery.Agent, error) {
	addresses, err := directory.NewAddresses(users, directory.AddressOptions{
		Domains:    cfg.LMTP.Domains,
		Separators: cfg.LMTP.Separators,
		Aliases:    cfg.LMTP.Aliases,
		CatchAll:   cfg.LMTP.CatchAll,
		Logger:     logger,
	})
	if err != nil {
		return nil, fmt.Errorf("lmtp.aliases: %w", err)
	}
	if source := guesses(cfg); source != "" && cfg.Maildrops.Store == config.Bucket {
		return nil, fmt.Errorf("maildrops.store = %q does not go with mail and %s, which cannot tell who exists: mail to any address would be kept", config.Bucket, source)
	} else if source != "" && cfg.Maildrops.Create {
		return nil, fmt.Errorf("maildrops.create = true does not go with mail and %s, which cannot tell who exists: mail to any address would make a Maildir. Set it to false, and make the Maildirs of users yourself", source)
	}
	distributor, ok := store.(maildrop.Distributor)
	if !ok {
		return nil, fmt.Errorf("maildrops.store = %q takes no mail by LMTP", cfg.Maildrops.Store)
	}
	hostname, _ := os.Hostname()
	return &delivery.Agent{
		Store:     distributor,
		Addresses: addresses,
		Quota:     maildrop.Quota{Octets: int64(cfg.Quota.Octets), Messages: int64(cfg.Quota.Messages)},
		Hostname:  cmp.Or(cfg.Hostname, hostname, "localhost"),
		Logger:    logger,
	}, nil
}

// Agent gives what stores messages as the configuration says, for a command
// that delivers one, and what gives back what it holds.
func Agent(cfg *config.Config, logger *slog.Logger) (*delivery.Agent, func(), error) {
	store, err := newStore(cfg, logger)
	if err != nil {
		return nil, nil, err
	}
	users, err := newDirectory(cfg, logger)
	if err != nil {
		return nil, nil, err
	}
	agent, err := newAgent(cfg, users, store, logger)
	if err != nil {
		users.Close()
		return nil, nil, err
	}
	return agent, func() { users.Close() }, nil
}

func (i *intake) serve(l net.Listener) error {
	if i.server == nil {
		return i.why
	}
	return i.server.Serve(l)
}

func (i *intake) reload() error {
	if i.addresses == nil {
		return nil
	}
	return i.addresses.Reload()
}

// shutdown ends connections behind the messages that they take, until ctx ends.
func (i *intake) shutdown(ctx context.Context) {
	if i.server != nil {
		_ = i.server.Shutdown(ctx) // what was cut will be sent again
	}
}

// openTo gives a unix socket to those who may deliver. One that was taken over
// is so already, and may no longer be this process's own.
func openTo(cfg *config.Config, path string) error {
	mode, err := strconv.ParseUint(cfg.LMTP.SocketMode, 8, 16)
	if err != nil {
		return fmt.Errorf("lmtp.socket_mode: %w", err)
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return fmt.Errorf("lmtp.listen: %s: %w", path, err)
	}
	if group := cfg.LMTP.SocketGroup; group != "" {
		gid, err := process.LookupGroup(group)
		if err == nil && uint32(gid) != st.Gid {
			err = os.Lchown(path, -1, gid)
		}
		if err != nil {
			return fmt.Errorf("lmtp.socket_group = %q: %w: start as root, or as a user who is in that group", group, err)
		}
	}
	if st.Mode&0o777 != uint32(mode) {
		if err := os.Chmod(path, os.FileMode(mode)); err != nil {
			return fmt.Errorf("lmtp.socket_mode: %w", err)
		}
	}
	return nil
}
