package collect

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch"
	"github.com/poplin-mail/poplin/internal/fetch/disk"
	"github.com/poplin-mail/poplin/internal/fetch/provider"
	"github.com/poplin-mail/poplin/internal/fetch/target"
)

// opener makes the targets of an account.
type opener struct {
	cfg     *config.Config
	account string // its name
	state   string // its folder
	logins  logins
	disk    disk.FS
}

// open makes a target of an entry of to.
func (o opener) open(to string) (target.Target, error) {
	t, named := o.cfg.TargetNamed(to)
	if !named {
		var err error
		if t, err = o.cfg.Shorthand(to); err != nil {
			return nil, err
		}
	}
	t = settled(t)
	staging := filepath.Join(o.state, "staged")
	switch t.Kind {
	case config.MboxTarget:
		return target.OpenMbox(o.disk, target.MboxOptions{Path: t.Path, Staging: staging, LockTimeout: t.Timeout})
	case config.CommandTarget:
		return target.OpenCommand(o.disk, target.CommandOptions{Command: t.Command, Staging: staging, Account: o.account, Timeout: t.Timeout, Env: o.logins.env})
	case config.MaildirTarget:
		return target.OpenMaildir(o.disk, t.Path)
	}
	server, err := serverOf(t)
	if err != nil {
		return nil, err
	}
	credentials, err := o.credentials(t)
	if err != nil {
		return nil, err
	}
	if t.Kind == config.IMAPTarget {
		return target.OpenIMAP(o.disk, target.IMAPOptions{ServerOptions: server, Credentials: credentials, Staging: staging,
			Folder: t.Folder, MakeFolder: t.MakeFolder, Flags: t.Flags})
	}
	return target.OpenSMTP(o.disk, target.SMTPOptions{ServerOptions: server, Credentials: credentials, Staging: staging,
		LMTP: t.Kind == config.LMTPTarget, Recipient: t.Recipient, Sender: t.Sender, Hello: o.cfg.Hostname})
}

// settled writes a target in one way where it can be written in several: what
// the journal knows it by must not follow from trifles.
func settled(t config.Target) config.Target {
	t.Command = strings.TrimSpace(t.Command)
	if strings.EqualFold(t.Folder, "INBOX") { // RFC 9051 section 5.1
		t.Folder = "INBOX"
	}
	if !strings.HasPrefix(t.Server, "unix:") {
		t.Server = strings.ToLower(t.Server)
	}
	return t
}

// serverOf says how the server of a target is reached.
func serverOf(t config.Target) (target.ServerOptions, error) {
	address, security := t.Connection()
	tlsConfig, err := clientTLS(t.TLSCAFile, "")
	return target.ServerOptions{
		Address:   address,
		Security:  map[string]target.Security{config.TLS: target.TLS, config.STLS: target.StartTLS, config.Insecure: target.Insecure}[security],
		TLSConfig: tlsConfig,
		Timeout:   t.Timeout,
	}, err
}

// credentials gives what a target logs in with.
func (o opener) credentials(t config.Target) (c target.Credentials, err error) {
	if t.User == "" {
		return c, nil
	}
	if t.Name == "" && (t.Keyring || t.OAuth != "") {
		return c, errors.New("keyring and oauth want a target with a name: make a [target.NAME], and put that into to")
	}
	secret, err := o.logins.secret(targetLogin+t.Name, t.Login, serviceOf(t))
	if err != nil {
		return c, err
	}
	ask := func(ctx context.Context) (string, error) {
		text, err := secret.Secret(ctx)
		return text, fetch.TroubleOf(err)
	}
	c.User = t.User
	if withToken(t.Login) {
		c.Token = ask
	} else {
		c.Password = ask
	}
	return c, nil
}

// serviceOf gives what a token of a target is for.
func serviceOf(t config.Target) provider.Service {
	if t.Kind == config.IMAPTarget {
		return provider.IMAP
	}
	return provider.SMTP
}
