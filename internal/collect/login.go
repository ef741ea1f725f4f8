package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/poplin-mail/poplin/internal/config"
	"github.com/poplin-mail/poplin/internal/fetch/credential"
	"github.com/poplin-mail/poplin/internal/fetch/oauth"
	"github.com/poplin-mail/poplin/internal/fetch/provider"
)

// profileOf gives what is known of the account's provider, nil where it is
// nothing.
func profileOf(a config.Account, host string) (*provider.Profile, error) {
	switch a.Provider {
	case "":
		return provider.ByServer(host), nil
	case "none":
		return nil, nil
	}
	p := provider.ByName(a.Provider)
	if p == nil {
		return nil, fmt.Errorf("provider = %q is not known: leave it out, or write \"none\"", a.Provider)
	}
	return p, nil
}

// logins makes what accounts and targets log in with.
type logins struct {
	tokens string   // the folder with tokens
	env    []string // of commands
	opts   Options
}

// secret gives where the password, or the token, comes from. The name is what
// the keyring and the folder of tokens know it by.
func (l logins) secret(name string, login config.Login, service provider.Service) (credential.Source, error) {
	command := credential.CommandOptions{Terminal: l.opts.Terminal, Env: l.env}
	switch {
	case login.Password != "":
		return credential.Literal(login.Password), nil
	case login.PasswordFile != "":
		return credential.File(login.PasswordFile), nil
	case login.PasswordCommand != "":
		return credential.Command(login.PasswordCommand, command), nil
	case login.PasswordEnv != "":
		return credential.Environment(login.PasswordEnv), nil
	case login.Keyring:
		return credential.Keyring{Account: name}, nil
	case login.OAuthCommand != "":
		return credential.Command(login.OAuthCommand, command), nil
	case login.OAuth != "":
		source, err := l.tokensOf(name, login, service)
		return tokenSecret{source}, err
	}
	return nil, errors.New("has no password: set one of password_file, password_command, password_env, keyring, oauth or password")
}

// withToken tells whether a login shows a token instead of a password.
func withToken(login config.Login) bool { return login.OAuth != "" || login.OAuthCommand != "" }

// tokensOf gives a source of tokens.
func (l logins) tokensOf(name string, login config.Login, service provider.Service) (*oauth.Source, error) {
	endpoints := oauth.Endpoints{AuthURL: login.OAuthAuthURL, DeviceURL: login.OAuthDeviceURL, TokenURL: login.OAuthTokenURL, Scopes: login.OAuthScopes}
	if known := provider.ByOAuth(login.OAuth); known != nil {
		endpoints = known.For(service)
	}
	c := oauth.Config{Account: name, User: login.User, Endpoints: endpoints, ClientID: login.OAuthClientID, Folder: l.tokens, Logger: l.opts.Logger}
	if login.OAuthSecretFile != "" {
		c.ClientSecret = credential.File(login.OAuthSecretFile)
	}
	return oauth.New(c)
}

// tokenSecret gives tokens where passwords are asked for.
type tokenSecret struct{ *oauth.Source }

// Secret implements credential.Source.
func (s tokenSecret) Secret(ctx context.Context) (string, error) { return s.Token(ctx) }

// Login is what somebody logs in with, of an account or a target.
type Login struct {
	config.Login
	secret credential.Source
}

// Tokens gives the source of tokens, nil where the login is with a password.
func (l Login) Tokens() *oauth.Source {
	if s, ok := l.secret.(tokenSecret); ok {
		return s.Source
	}
	return nil
}

// Keyring gives the place of the password in the desktop's keyring, and
// whether that is where it is.
func (l Login) Keyring() (credential.Keyring, bool) {
	k, ok := l.secret.(credential.Keyring)
	return k, ok
}

// LoginOf finds the login of an account, or of a target, by its name. Where
// both have the name "target:NAME" is the target.
func LoginOf(cfg *config.Config, name string, opts Options) (Login, error) {
	state, err := stateFolder(cfg)
	if err != nil {
		return Login{}, err
	}
	l := logins{tokens: tokenFolder(state), env: environment(cfg), opts: opts}
	for _, a := range cfg.Fetch.Accounts {
		if a.Name == name {
			secret, err := l.secret(name, a.Login, provider.POP3)
			return Login{a.Login, secret}, err
		}
	}
	if t, ok := cfg.TargetNamed(strings.TrimPrefix(name, targetLogin)); ok {
		secret, err := l.secret(targetLogin+t.Name, t.Login, serviceOf(t))
		return Login{t.Login, secret}, err
	}
	return Login{}, fmt.Errorf("there is neither a [fetch.%s] nor a [target.%[1]s] in %s", name, cfg.File)
}

// targetLogin stands before the name of a target where that of an account
// could stand too.
const targetLogin = "target:"

// tokenFolder gives the folder with the tokens, beside that with the journals.
func tokenFolder(journals string) string { return filepath.Join(filepath.Dir(journals), "oauth") }

// environment gives the environment of commands: without the passwords in it.
// One that is named for all accounts or targets counts where none of them has it
// too: a target of one line is in no table.
func environment(cfg *config.Config) []string {
	hidden := []string{cfg.Fetch.PasswordEnv, cfg.Target.PasswordEnv}
	for _, a := range cfg.Fetch.Accounts {
		hidden = append(hidden, a.PasswordEnv)
	}
	for _, t := range cfg.Target.Targets {
		hidden = append(hidden, t.PasswordEnv)
	}
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(hidden, name)
	})
}
