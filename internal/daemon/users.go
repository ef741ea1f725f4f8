package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/guard"
	"github.com/poplin-mail/poplin/maildrop"
)

// newDirectory opens the sources of users that the configuration names.
func newDirectory(cfg *config.Config, logger *slog.Logger) (*directory.Directory, error) {
	u := &cfg.Users
	opts := directory.Options{
		AppPasswords: u.AppPasswords,
		Master:       u.MasterFile,
		MasterMark:   u.MasterMark,
		CacheTime:    u.CacheTime,
		Mechanisms:   u.Mechanisms,
		ClientName:   cfg.TLS.ClientName,
		View:         maildrop.View{ReadOnly: cfg.Views.ReadOnly, Keep: cfg.Views.Keep, Recent: cfg.Views.Recent, Undo: cfg.Views.Undo},
		Logger:       logger,
	}
	var err error
	if opts.Key, err = sharedKey(u.SecretFile, cfg.State); err != nil {
		return nil, err
	}
	if err := openSources(cfg, &opts, logger); err != nil {
		return nil, err
	}
	d, err := directory.New(opts)
	if err != nil {
		for _, s := range opts.Sources {
			s.Close()
		}
		return nil, fmt.Errorf("users: %w", err)
	}
	return d, nil
}

// usersError tells what to do about a users file that cannot be read.
func usersError(cfg *config.Config, err error) error {
	flag := ""
	if cfg.File != "" {
		flag = " --config " + cfg.File
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no users file %s: `poplin user add%s NAME` makes it with its first user", cfg.Users.File, flag)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("users file: %w: this program must run as a user that may read it", err)
	}
	return fmt.Errorf("users file: %w", err)
}

// sharedKey gives the secret that servers share, or where there is no file of
// one this server's own.
func sharedKey(file, state string) ([]byte, error) {
	if file == "" {
		return secretKey(state)
	}
	key, err := hexKey(file)
	if err != nil {
		return nil, fmt.Errorf("users.secret_file: %w", err)
	}
	return key[:], nil
}

// secretKey gives the installation's secret, and makes it when it is asked
// for the first time.
func secretKey(state string) ([]byte, error) {
	path := filepath.Join(state, "secret")
	for range 2 { // another process may make it at the same time
		key, info, err := directory.ReadRegular(path, 64)
		switch {
		case err == nil && len(key) == 32 && info.Mode().Perm()&0o077 == 0:
			return key, nil
		case err == nil:
			return nil, fmt.Errorf("%s is not a secret that this server made, or others may read it: remove it, and a new one is made", path)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("the server's secret: %w", err)
		}
		if err := makeSecret(state, path); err != nil {
			return nil, fmt.Errorf("the server's secret: %w", err)
		}
	}
	return nil, fmt.Errorf("%s cannot be made", path)
}

// makeSecret leaves one that is there alone.
func makeSecret(state, path string) error {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(state, ".secret-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key := make([]byte, 32)
	rand.Read(key)
	_, err = f.Write(key)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// mechanisms gives those that are chosen, nil where the choice is left to the
// server.
func mechanisms(cfg *config.Config) []string {
	if len(cfg.Users.Mechanisms) == 0 {
		return nil
	}
	return cfg.Users.Mechanisms
}

// newGuard makes the defence against guessed passwords.
func newGuard(cfg *config.Config, logger *slog.Logger) *guard.Guard {
	return guard.New(guard.Options{
		KnownNetworks: networks(cfg.Limits.KnownNetworks),
		PerUser:       cfg.Limits.SessionsPerUser,
		State:         filepath.Join(cfg.State, "known-logins"),
		Logger:        logger,
	})
}

// networks reads what the configuration's check has seen: addresses and
// networks.
func networks(texts []string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
		} else if prefix, err := netip.ParsePrefix(text); err == nil {
			all = append(all, prefix.Masked())
		}
	}
	return all
}
