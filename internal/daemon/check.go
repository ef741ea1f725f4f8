package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/poplin-mail/poplin/internal/certs"
	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/directory"
	"github.com/poplin-mail/poplin/internal/process"
)

// CheckFiles reads the files that the configuration names, but for the users
// file, and gives what keeps the server from starting. It asks no server.
func CheckFiles(cfg *config.Config) []error {
	var wrong []error
	note := func(key string, err error) {
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", key, err))
		}
	}
	for i, file := range cfg.TLS.Certificate {
		if _, err := tls.LoadX509KeyPair(file, cfg.TLS.Key[i]); err != nil {
			wrong = append(wrong, fmt.Errorf("certificate %s with key %s: %w", file, cfg.TLS.Key[i], err))
		}
	}
	note("tls.client_ca", checkAuthorities(cfg.TLS.ClientCA))
	if cfg.TLS.TicketKeys != "" {
		note("tls.ticket_keys", certs.CheckTicketKeys(cfg.TLS.TicketKeys))
	}
	if len(cfg.ACME.Domains) > 0 {
		note("acme.server_ca", checkAuthorities(cfg.ACME.ServerCA))
	}
	if cfg.Maildrops.Store == config.Bucket {
		if _, _, err := openBucket(cfg); err != nil {
			wrong = append(wrong, err)
		}
	}
	u := &cfg.Users
	if u.SecretFile != "" {
		_, err := hexKey(u.SecretFile)
		note("users.secret_file", err)
	}
	if u.MasterFile != "" {
		_, err := directory.List(u.MasterFile)
		note("users.master_file", err)
	}
	if _, err := directory.ListAppPasswords(u.AppPasswords); !errors.Is(err, fs.ErrNotExist) {
		note("users.app_passwords", err)
	}
	if slices.Contains(u.Source, config.SQL) {
		_, err := secretOf("", u.SQL.DSNFile)
		note("users.sql.dsn_file", err)
	}
	if slices.Contains(u.Source, config.LDAP) {
		_, err := secretOf("", u.LDAP.BindPasswordFile)
		note("users.ldap.bind_password_file", err)
		note("users.ldap.ca_file", checkAuthorities(u.LDAP.CAFile))
	}
	if slices.Contains(u.Source, config.OAuth) {
		_, err := secretOf("", u.OAuth.ClientSecretFile)
		note("users.oauth.client_secret_file", err)
		note("users.oauth.ca_file", checkAuthorities(u.OAuth.CAFile))
	}
	if cfg.LMTP.Aliases != "" {
		_, err := directory.NewAddresses(nil, directory.AddressOptions{Aliases: cfg.LMTP.Aliases})
		note("lmtp.aliases", err)
	}
	if cfg.LMTP.SocketGroup != "" {
		_, err := process.LookupGroup(cfg.LMTP.SocketGroup)
		note("lmtp.socket_group", err)
	}
	return wrong
}

func checkAuthorities(file string) error {
	data, err := authoritiesOf(file)
	if err == nil && file != "" && !x509.NewCertPool().AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return err
}
